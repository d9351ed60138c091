"""The list of a rar archive, and the password that opens it or what it holds.

Rar 5 keeps a value to check a password by (its technical note, "File encryption record"); rar 4 keeps nothing but the
content's checksum, which speaks of damage as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import rarfile

from workflow_scripts.step1.readers.common import (
    DAMAGE,
    UNPACK,
    Packed,
    missing_password,
    missing_volume,
    wrong_password,
)
from workflow_scripts.step1.readers.rar_tools import has, next_file, unpacking
from workflow_scripts.step1.volumes import next_part
from workflow_scripts.stepkit.errors import ItemError

DOUBT = ", or the archive is damaged: rar 4 cannot tell the two apart"
_MOST_ROUNDS = 24
"""Power of two of the rounds of hashing that a password costs: rar takes no more."""

_NO_ENCRYPTION = (0, 0, 0, b"", b"", None)


class Listed(NamedTuple):
    """An archive whose list is read. `has_end`: with the block that ends it; `password`: what opened the list, if it was locked."""

    archive: rarfile.RarFile
    has_end: bool
    password: str | None


class Key(NamedTuple):
    """A password, and whether it is known to be the right one."""

    password: str
    is_proven: bool


def listed(packed: Packed) -> Listed:
    """Read the list of an archive, through all its files. Raises ItemError and what rarfile raises for damage."""
    found = _read(packed, None)
    if not found.archive.needs_password() or found.archive.infolist():
        return found
    if not packed.passwords:
        raise missing_password(packed)
    tells = rarfile.get_rar_version(packed.path) == rarfile.RAR_V5
    for password in packed.passwords:
        try:
            return _read(packed, password)
        except rarfile.RarWrongPassword:
            continue
        except (rarfile.Error, *DAMAGE):
            if tells:
                raise
    raise wrong_password(packed, "" if tells else DOUBT)


def unlock(packed: Packed, found: Listed, locked: Sequence[rarfile.RarInfo]) -> Key:
    """Return the password of the encrypted members. Raises ItemError when there is none, or no program to use it with."""
    if not packed.passwords:
        raise missing_password(packed)
    fitting = _fitting(packed.passwords if found.password is None else [found.password], locked[0])
    if not fitting:
        raise wrong_password(packed)
    if not has("unrar"):
        raise ItemError(
            "no_rar_tool", f"{packed.path.name} is protected by a password, and `unrar` is not installed.",
            f"Install `unrar`: no other program takes a password without showing it to all. {UNPACK}",
        )  # fmt: skip
    if fitting[0].is_proven or len(fitting) == 1:
        return fitting[0]
    opening = next((key for key in fitting if _opens(packed, found, key.password)), None)
    if opening is None:
        raise wrong_password(packed, DOUBT)
    return Key(opening.password, True)


def _read(packed: Packed, password: str | None) -> Listed:
    blocks: set[int] = set()
    try:
        archive = rarfile.RarFile(packed.path, errors="strict", info_callback=lambda block: blocks.add(block.type))
        if password is not None:
            blocks.clear()
            archive.setpassword(password)
    except rarfile.NeedFirstVolume as error:
        raise ItemError(
            "not_first_volume", f"{packed.path.name} is not the first part of its archive.",
            "Give the first part; the others must lie beside it.",
        ) from error  # fmt: skip
    except rarfile.BadRarFile as error:
        following = next_part(packed.parts)
        if following and str(error).startswith("Cannot open next volume"):
            raise missing_volume(packed, [following.name]) from error
        raise
    return Listed(archive, rarfile.RAR_BLOCK_ENDARC in blocks, password)


def _fitting(passwords: Sequence[str], info: rarfile.RarInfo) -> list[Key]:
    """Return the passwords that may open a member: by rar 5's check the right one, without it all."""
    _algorithm, _flags, rounds, salt, _vector, check = getattr(info, "file_encryption", None) or _NO_ENCRYPTION
    if not check or hashlib.sha256(check[:8]).digest()[:4] != check[8:]:  # none, or itself damaged
        return [Key(password, False) for password in passwords]
    if rounds > _MOST_ROUNDS:
        raise rarfile.BadRarFile("it asks for too much hashing")
    return [Key(password, True) for password in passwords if _check_of(password, salt, rounds) == check[:8]]


def _check_of(password: str, salt: bytes, rounds: int) -> bytes:
    """Return rar 5's value to check a password by: 32 rounds more than the key takes, folded to 8 bytes."""
    value = rarfile.rar5_s2k(password, salt, (1 << rounds) + 32)
    return bytes(a ^ b ^ c ^ d for a, b, c, d in zip(value[:8], value[8:16], value[16:24], value[24:], strict=True))


def _opens(packed: Packed, found: Listed, password: str) -> bool:
    """Tell whether the first encrypted member comes out whole under a password."""
    with unpacking("unrar", packed.path, password) as process:
        assert process.stdout is not None
        try:
            for info in found.archive.infolist():
                for _block in next_file(process.stdout, info):
                    pass
                if info.needs_password() and info.file_size:
                    return True
        except (rarfile.Error, EOFError):
            pass
    return False
