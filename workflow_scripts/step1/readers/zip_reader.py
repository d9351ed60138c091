"""Zip: zip64, split into parts, encrypted, packed by Deflate64, bzip2, LZMA, XZ or zstd too."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.name_encodings import NameDecoder, decoder_for
from workflow_scripts.step1.readers.common import (
    DAMAGE,
    UNPACK,
    Packed,
    Receiver,
    damage_named,
    damaged,
    missing_password,
    missing_volume,
    pump,
    wrong_password,
)
from workflow_scripts.step1.volumes import is_cut_in_pieces, opened, starts_of, zip_part
from workflow_scripts.step1.zip_content import ENCRYPTED, OtherPassword, Unsupported, content, decrypter_of
from workflow_scripts.step1.zip_crypto import spellings
from workflow_scripts.step1.zip_directory import TAIL, Entry, number_of_disks, read_directory
from workflow_scripts.stepkit.errors import ItemError

_SAMPLE = 4
"""Encrypted members that passwords are tried on: where one has only a byte to tell by, four have no doubt."""
_MOST_DISKS = 1000
_DOUBT = (
    ", or its password is wrong: this old encryption (ZipCrypto) lets one wrong password in 256 pass, and what comes out "
    "then looks like damage"
)


class ZipReader:
    """A zip archive."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed

    def deliver(self, receiver: Receiver) -> None:
        """Walk the archive: the whole list is judged before the first byte is unpacked."""
        with damage_named(self._packed, *DAMAGE):
            parts = _parts(self._packed)
            with opened(parts) as file:
                self._deliver(file, [0] if is_cut_in_pieces(parts) else starts_of(parts), receiver)

    def _deliver(self, file: IO[bytes], starts: Sequence[int], receiver: Receiver) -> None:
        entries = read_directory(file, starts)
        decoder = decoder_for({entry.name for entry in entries if not entry.is_utf8}, self._packed.name_encoding)
        members = ((entry, member_of(entry, decoder)) for entry in entries)
        wanted = [(entry, member) for entry, member in members if receiver.wants(member)]
        locked = [entry for entry, _member in wanted if entry.flags & ENCRYPTED]
        password = fitting_password(self._packed, file, locked) if locked else None
        doubt = _DOUBT if len(locked) == 1 and not locked[0].aes else ""
        for entry, member in wanted:
            try:
                with damage_named(self._packed, *DAMAGE, doubt=doubt):
                    pump(content(file, entry, password if entry.flags & ENCRYPTED else None), member, receiver)
            except Unsupported as error:
                raise _unsupported(member, error) from error
            except OtherPassword as error:
                raise wrong_password(self._packed, f": its member {member.name} has another, or is damaged") from error


def _parts(packed: Packed) -> tuple[Path, ...]:
    """Return the files that the archive says it has. Raises ItemError for one that is not there."""
    if is_cut_in_pieces(packed.parts):
        return packed.parts
    with packed.path.open("rb") as last:
        last.seek(max(0, last.seek(0, os.SEEK_END) - TAIL))
        disks = number_of_disks(last.read())
    if disks > _MOST_DISKS:
        raise damaged(packed, f"it says it is one of {disks} parts")
    others = [zip_part(packed.path, number) for number in range(1, disks)]
    if missing := [path.name for path in others if not path.is_file()]:
        raise missing_volume(packed, missing)
    return (*others, packed.path)


def member_of(entry: Entry, decoder: NameDecoder) -> Member:
    """Describe an entry by its name as it is stored."""
    raw = entry.name
    name = raw.decode("utf-8", "backslashreplace") if entry.is_utf8 else decoder(raw)
    encoding = None if entry.is_utf8 or raw.isascii() else decoder.legacy
    mode = entry.attributes >> 16
    if stat.S_ISLNK(mode):
        return Member(name, "link", None)
    if name.endswith(("/", "\\")) or stat.S_ISDIR(mode):
        return Member(name, "folder", None)
    known = stat.S_IFMT(mode) in (0, stat.S_IFREG)
    return Member(name, "file" if known else "special", entry.size, encoding=encoding)


def fitting_password(packed: Packed, file: IO[bytes], locked: Sequence[Entry]) -> bytes:
    """Return the password that opens the encrypted members. Raises ItemError when there is none."""
    candidates = [spelled for password in packed.passwords for spelled in spellings(password)]
    if not candidates:
        raise missing_password(packed)
    sample = sorted(locked, key=lambda entry: entry.packed)[:_SAMPLE]
    fits = {each: sum(decrypter_of(file, entry, each).fits for entry in sample) for each in candidates}
    most = max(fits.values())
    if most == 0:
        raise wrong_password(packed)
    best = [each for each in candidates if fits[each] == most]
    return best[0] if len(best) == 1 else next((each for each in best if _reads(file, sample[0], each)), best[0])


def _reads(file: IO[bytes], entry: Entry, password: bytes) -> bool:
    """Tell whether a member comes out whole under a password: what is left to do where several seem to fit."""
    try:
        for _block in content(file, entry, password):
            pass
    except DAMAGE:
        return False
    return True


def _unsupported(member: Member, error: Exception) -> ItemError:
    return ItemError("unsupported_compression", f"{member.name} is packed in a way that cannot be read ({error}).", UNPACK)  # fmt: skip
