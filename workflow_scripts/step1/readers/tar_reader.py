"""Tar, plain or compressed, read once from front to back."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO, Any, cast

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.formats import decompressed
from workflow_scripts.step1.name_encodings import NameDecoder, decoder_for, is_utf8
from workflow_scripts.step1.readers.common import BLOCK, DAMAGE, Packed, Receiver, blocks_of, damage_named, pump
from workflow_scripts.step1.volumes import opened


class _DamagedHeader(ValueError):
    """A header that is no header: the library takes it for the end of the archive, and half a delivery passes for all."""


class _StrictTarInfo(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _StrictTarInfo:
        try:
            return super().fromtarfile(tarfile)
        except _LIBRARY_SILENT as error:
            raise _DamagedHeader(f"damaged header at byte {tarfile.offset}: {error}") from error


_LIBRARY_SILENT = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError, tarfile.EmptyHeaderError)  # type: ignore[attr-defined]
"""The last is raised where the file ends: before the two empty blocks that end a tar, for then it was cut between members."""


class _Forwards:
    """A stream as the library may use it: to read on. A header that leads back is damage, and could lead back for ever."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = 0

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if size < 0:
            raise _DamagedHeader(f"a header at byte {self._position} says that {size} bytes follow")
        block = self._stream.read(size)
        self._position += len(block)
        return block

    def seek(self, position: int) -> None:
        if position < self._position:
            raise _DamagedHeader(f"something before byte {self._position} is asked for again")
        while self._position < position and self.read(min(position - self._position, BLOCK)):
            pass


_MOST_NAMES = 20_000
"""Entries among which names are looked for: enough to tell the character set."""


class TarReader:
    """A tar archive in any of the compressions of `formats`."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self._known: NameDecoder | None = None

    def deliver(self, receiver: Receiver) -> None:
        """Walk the archive; members are judged as they pass."""
        with (
            damage_named(self._packed, tarfile.TarError, *DAMAGE),
            opened(self._packed.parts) as raw,
            decompressed(raw) as plain,
            open_forwards(plain) as archive,
        ):
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # what never goes back needs no list
                member = member_of(info, self._decoder)
                if receiver.wants(member):
                    pump(blocks_of(content_of(archive, info), member), member, receiver)
            while plain.read(BLOCK):
                pass  # what follows the last member still proves that the stream is whole (its checksum)

    def _decoder(self, raw: bytes) -> NameDecoder:
        """Return how names are read that are no UTF-8. To judge all of them together the archive is read twice."""
        if self._known is None:
            names = {raw, *self._foreign_names()} if self._packed.name_encoding == "auto" else {raw}
            self._known = decoder_for(names, self._packed.name_encoding)
        return self._known

    def _foreign_names(self) -> Iterator[bytes]:
        with (
            opened(self._packed.parts) as raw,
            decompressed(raw) as plain,
            open_forwards(plain) as archive,
        ):
            for info in islice(archive, _MOST_NAMES):
                if not is_utf8(name := _raw_name(info)):
                    yield name


def open_forwards(plain: IO[bytes]) -> tarfile.TarFile:
    """Open a tar's own bytes. The library's stream mode (`r|`) would copy each of them five times."""
    return tarfile.open(fileobj=cast("IO[bytes]", _Forwards(plain)), mode="r:", tarinfo=_StrictTarInfo)


def content_of(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    """Return the content of a file in a tar. It is read in large blocks: the buffer around it is left out."""
    stream: Any = archive.extractfile(info)
    return cast("IO[bytes]", stream.raw)


def _raw_name(info: tarfile.TarInfo) -> bytes:
    return info.name.encode("utf-8", "surrogateescape")


def member_of(info: tarfile.TarInfo, decoder_of: Callable[[bytes], NameDecoder] | None = None) -> Member:
    """Describe an entry. `decoder_of` is asked for a name that is no UTF-8."""
    raw = _raw_name(info)
    decoder = NameDecoder(None) if decoder_of is None or is_utf8(raw) else decoder_of(raw)
    name = decoder(raw)
    if info.issym() or info.islnk():
        return Member(name, "link", None)
    if info.isdir():
        return Member(name, "folder", None)
    stored: Any = info.sparse
    holes = info.size - sum(length for _at, length in stored) if stored else 0
    return Member(name, "file" if info.isreg() else "special", info.size, holes=holes, encoding=decoder.legacy)
