"""Zip, zip64 included, through the standard library."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.readers.common import DAMAGE, Receiver, damage_named, pump
from workflow_scripts.stepkit.errors import ItemError

_ENCRYPTED = 0x1
_UTF8 = 0x800


class ZipReader:
    """A zip archive."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, receiver: Receiver) -> None:
        """Walk the archive: the whole list is judged before the first byte is unpacked."""
        with (
            damage_named(self._path, zipfile.BadZipFile, RuntimeError, *DAMAGE),
            zipfile.ZipFile(self._path) as archive,
        ):
            members = [(info, member_of(info)) for info in archive.infolist()]
            for info, member in [pair for pair in members if receiver.wants(pair[1])]:
                try:
                    stream = archive.open(info)
                except NotImplementedError as error:
                    raise _unsupported(member, error) from error
                with stream:
                    pump(stream, member, receiver)


def member_of(info: zipfile.ZipInfo) -> Member:
    """Describe an entry by its name as it is stored: the library's own cuts it at a NUL."""
    name = _decoded(info)
    mode = info.external_attr >> 16
    encrypted = bool(info.flag_bits & _ENCRYPTED)
    if stat.S_ISLNK(mode):
        return Member(name, "link", None, encrypted)
    if name.endswith(("/", "\\")) or stat.S_ISDIR(mode):
        return Member(name, "folder", None)
    known = stat.S_IFMT(mode) in (0, stat.S_IFREG)
    return Member(name, "file" if known else "special", info.file_size, encrypted)


def _decoded(info: zipfile.ZipInfo) -> str:
    """Return the stored name; macOS writes UTF-8 without saying so, and the library then takes it for code page 437."""
    if info.flag_bits & _UTF8:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _unsupported(member: Member, error: Exception) -> ItemError:
    return ItemError(
        "unsupported_compression", f"{member.name} is packed in a way that cannot be read ({error}).",
        "Unpack the archive yourself and give Derush the folder.",
    )  # fmt: skip
