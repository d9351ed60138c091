"""Rar 4 and 5: rarfile lists the members and reads stored ones; what is compressed or encrypted needs a program (`rar_tools`)."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import rarfile

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.readers import rar_tools
from workflow_scripts.step1.readers.common import (
    DAMAGE,
    Packed,
    Receiver,
    blocks_of,
    damage_named,
    pump,
    wrong_password,
)
from workflow_scripts.step1.readers.rar_passwords import DOUBT, Key, listed, unlock
from workflow_scripts.stepkit.errors import ItemError

_HAS_END = 29
"""Version of the format from which on an archive ends with a block that says so: without it, a cut is not seen."""
_AFTER_WRONG_PASSWORD = (11, 255)
"""How unrar ends: it says so, or asks again and gets no answer."""

Pairs = Sequence[tuple[rarfile.RarInfo, Member]]


class RarReader:
    """A rar archive."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed

    def deliver(self, receiver: Receiver) -> None:
        """Walk the archive: the whole list is judged before the first byte is unpacked."""
        with damage_named(self._packed, rarfile.Error, tarfile.TarError, rar_tools.ToolFailed, *DAMAGE):
            self._deliver(receiver)

    def _deliver(self, receiver: Receiver) -> None:
        found = listed(self._packed)
        members = [(info, member_of(info)) for info in found.archive.infolist()]
        if not found.has_end and any(info.extract_version >= _HAS_END for info, _member in members):
            raise rarfile.BadRarFile("its end is missing")
        wanted = [pair for pair in members if receiver.wants(pair[1])]
        locked = [info for info, _member in wanted if info.needs_password() and info.file_size]
        if locked:
            self._through_stream("unrar", found.archive, wanted, receiver, unlock(self._packed, found, locked))
        elif all(info.compress_type == rarfile.RAR_M0 for info, _member in wanted):
            for info, member in wanted:
                with found.archive.open(info) as stream:
                    pump(blocks_of(stream, member), member, receiver)
        elif (tool := self._tool()) == "bsdtar":
            parts = [Path(part) for part in found.archive.volumelist()]
            rar_tools.deliver_through_tar(parts, {member.name: member for _info, member in wanted}, receiver)
        else:
            self._through_stream(tool, found.archive, wanted, receiver, None)

    def _tool(self) -> str:
        tool = rar_tools.tool()
        if tool is None:
            raise ItemError(
                "no_rar_tool", f"{self._packed.path.name} is compressed, and no program that unpacks rar is installed.",
                "Install `unrar`, `bsdtar` (package libarchive-tools) or `unar`, and run again.",
            )  # fmt: skip
        return tool

    def _through_stream(
        self, tool: str, archive: rarfile.RarFile, wanted: Pairs, receiver: Receiver, key: Key | None
    ) -> None:
        """Part what the program writes into members; those that are not wanted pass by."""
        chosen = {info.filename: member for info, member in wanted}
        finished = 0
        with rar_tools.unpacking(tool, self._packed.path, key.password if key else None) as process:
            assert process.stdout is not None
            try:
                for info in archive.infolist():
                    blocks = rar_tools.next_file(process.stdout, info)
                    if member := chosen.get(info.filename):
                        pump(blocks, member, receiver)
                    for _block in blocks:
                        pass
                    finished += info.needs_password() and info.file_size > 0
                rar_tools.finish(process)
            except (EOFError, rarfile.BadRarFile, rar_tools.ToolFailed) as error:
                code = process.wait() if isinstance(error, EOFError) else getattr(error, "code", 0)
                gave_up = code in _AFTER_WRONG_PASSWORD
                if key and (gave_up or not (key.is_proven or finished)):
                    raise wrong_password(self._packed, "" if gave_up else DOUBT) from error
                raise


def member_of(info: rarfile.RarInfo) -> Member:
    """Describe an entry. A rar 5 redirection is a symbolic link, a hard link or a copy of another member."""
    if info.is_symlink() or getattr(info, "file_redir", None):
        return Member(info.filename, "link", None)
    if info.is_dir():
        return Member(info.filename, "folder", None)
    return Member(info.filename, "file" if info.is_file() else "special", info.file_size)
