"""Tar, plain or compressed, read once from front to back."""

from __future__ import annotations

import tarfile
from pathlib import Path

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.formats import decompressed
from workflow_scripts.step1.readers.common import DAMAGE, Receiver, damage_named, pump


class _DamagedHeader(ValueError):
    """A header that is no header: the library takes it for the end of the archive, and half a delivery passes for all."""


class _StrictTarInfo(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _StrictTarInfo:
        try:
            return super().fromtarfile(tarfile)
        except _LIBRARY_SILENT as error:
            raise _DamagedHeader(f"damaged header at byte {tarfile.offset}: {error}") from error


_LIBRARY_SILENT = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]


class TarReader:
    """A tar archive in any of the compressions of `formats`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, receiver: Receiver) -> None:
        """Walk the archive; members are judged as they pass."""
        with (
            damage_named(self._path, tarfile.TarError, *DAMAGE),
            self._path.open("rb") as raw,
            decompressed(raw) as plain,
            tarfile.open(fileobj=plain, mode="r|", tarinfo=_StrictTarInfo) as archive,
        ):
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # a stream never goes back: it needs no list
                member = member_of(info)
                if receiver.wants(member):
                    stream = archive.extractfile(info)
                    assert stream is not None
                    pump(stream, member, receiver)
            while plain.read(1 << 20):
                pass  # what follows the last member still proves that the stream is whole (its checksum)


def member_of(info: tarfile.TarInfo) -> Member:
    """Describe an entry; a name that is no UTF-8 is read as Latin-1."""
    name = info.name.encode("utf-8", "surrogateescape")
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = name.decode("latin-1")
    if info.issym() or info.islnk():
        return Member(text, "link", None)
    if info.isdir():
        return Member(text, "folder", None)
    return Member(text, "file" if info.isreg() else "special", info.size)
