"""Rar 4 and 5: rarfile lists the members and reads stored ones; what is compressed needs `unrar`, `unar`, `7z` or `bsdtar`.

bsdtar is run by ourselves, once for the whole archive: it turns a rar into a tar on its standard output. rarfile 4.5
calls it with `-f --`, which it takes for a file of that name, and would start it anew for every member.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import rarfile

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.readers import tar_reader
from workflow_scripts.step1.readers.common import DAMAGE, Receiver, damage_named, pump
from workflow_scripts.stepkit.errors import ItemError

_HAS_END = 29
"""Version of the format from which on an archive ends with a block that says so: without it, a cut is not seen."""
_UNPACK = "Unpack it yourself and give Derush the folder."

Wanted = list[tuple[rarfile.RarInfo, Member]]


class RarReader:
    """A rar archive."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, receiver: Receiver) -> None:
        """Walk the archive: the whole list is judged before the first byte is unpacked."""
        try:
            with damage_named(self._path, rarfile.Error, tarfile.TarError, *DAMAGE):
                self._deliver(receiver)
        except ItemError as error:
            raise _named(self._path, error) from error.__cause__

    def _deliver(self, receiver: Receiver) -> None:
        blocks: set[int] = set()
        with rarfile.RarFile(
            self._path, errors="strict", info_callback=lambda block: blocks.add(block.type)
        ) as archive:
            if archive.needs_password() and not archive.infolist():
                raise rarfile.PasswordRequired("even its list of members is encrypted")
            members = [(info, member_of(info)) for info in archive.infolist()]
            if rarfile.RAR_BLOCK_ENDARC not in blocks and any(info.extract_version >= _HAS_END for info, _ in members):
                raise rarfile.BadRarFile("its end is missing")
            wanted = [pair for pair in members if receiver.wants(pair[1])]
            if any(info.compress_type != rarfile.RAR_M0 for info, _ in wanted) and _tool_is_bsdtar():
                _deliver_through_bsdtar(self._path, wanted, receiver)
                return
            for info, member in wanted:
                with archive.open(info) as stream:
                    pump(stream, member, receiver)


def member_of(info: rarfile.RarInfo) -> Member:
    """Describe an entry. A rar 5 redirection is a symbolic link, a hard link or a copy of another member."""
    if info.is_symlink() or getattr(info, "file_redir", None):
        return Member(info.filename, "link", None)
    if info.is_dir():
        return Member(info.filename, "folder", None)
    return Member(info.filename, "file" if info.is_file() else "special", info.file_size, info.needs_password())


def _tool_is_bsdtar() -> bool:
    """Tell whether bsdtar is the tool there is. Raises rarfile.RarCannotExec when there is none."""
    return rarfile.tool_setup().setup is rarfile.BSDTAR_CONFIG


def _deliver_through_bsdtar(path: Path, wanted: Wanted, receiver: Receiver) -> None:
    """Read the archive as the tar that bsdtar makes of it. Its names are matched with those the policy has judged."""
    members = {member.name: member for _info, member in wanted}
    command = [rarfile.BSDTAR_TOOL, "-cf", "-", "--format", "pax", f"@{path}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            while (info := archive.next()) is not None:
                member = members.pop(tar_reader.member_of(info).name, None)
                stream = archive.extractfile(info) if member else None
                if member and stream:
                    pump(stream, member, receiver)
        process.stdout.read()
        if process.wait() != 0 or members:
            raise rarfile.BadRarFile(f"bsdtar ended with code {process.returncode}")
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _named(path: Path, error: ItemError) -> ItemError:
    """Tell the errors that are not damage apart from damage."""
    cause = error.__cause__
    if isinstance(cause, rarfile.RarCannotExec):
        return ItemError(
            "no_rar_tool", f"{path.name} is compressed, and no program that unpacks rar is installed.",
            "Install `unrar`, `unar` or `bsdtar` (package libarchive-tools) and run again.",
        )  # fmt: skip
    if isinstance(cause, rarfile.NeedFirstVolume):
        return ItemError(
            "not_first_volume", f"{path.name} is not the first part of its archive.",
            "Give the first part; the others must lie beside it.",
        )  # fmt: skip
    if isinstance(cause, (rarfile.PasswordRequired, rarfile.RarWrongPassword)):
        return ItemError("encrypted_archive", f"{path.name} is protected by a password.", _UNPACK)
    return error
