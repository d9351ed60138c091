"""The programs that unpack rar, each run once for a whole archive: no library does, and one run a member is slow.

`unrar` and `unar` write all files one behind the other to their standard output, in the order of the list; bsdtar turns
a rar into a tar. A password goes to unrar by its standard input, where it asks for it when that is no terminal: in the
arguments everybody on the machine could read it. unar takes one in the arguments only, bsdtar none at all.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import rarfile
from zlib_ng import zlib_ng

from config.settings import inherited_environment
from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.readers import tar_reader
from workflow_scripts.step1.readers.common import BLOCK, Receiver, blocks_of, pump
from workflow_scripts.step1.volumes import opened

_TOOLS = {"unrar": ("-inul", "-?"), "bsdtar": ("--version",), "unar": ("-version",)}
"""The programs, best first (unrar is by the authors of rar, unar reads few of the newer archives), and how each is told."""


class ToolFailed(Exception):
    """The program that unpacks ended with an error; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the program that unpacks it ended with code {code}")
        self.code = code


def tool() -> str | None:
    """Return the best program there is; None when there is none. Another one of the same name (unrar-free) is passed over."""
    return next((name for name in _TOOLS if has(name)), None)


def has(name: str) -> bool:
    """Tell whether a program is there and is what its name says."""
    program = shutil.which(name)
    if program is None:
        return False
    ended = subprocess.run([program, *_TOOLS[name]], stdin=subprocess.DEVNULL, capture_output=True, env=_environment())
    return ended.returncode == 0


def deliver_through_tar(parts: Sequence[Path], wanted: Mapping[str, Member], receiver: Receiver) -> None:
    """Unpack the wanted members, by their names, with bsdtar. Raises ToolFailed and tarfile.TarError."""
    left = dict(wanted)
    source = f"@{parts[0]}" if len(parts) == 1 else "@-"
    with _running(["bsdtar", "-cf", "-", "--format", "pax", source]) as process:
        assert process.stdout is not None
        threading.Thread(target=_feed, args=(process, parts if len(parts) > 1 else ()), daemon=True).start()
        with tar_reader.open_forwards(process.stdout) as archive:
            while (info := archive.next()) is not None:
                member = left.pop(tar_reader.member_of(info).name, None)
                if member:
                    pump(blocks_of(tar_reader.content_of(archive, info), member), member, receiver)
        finish(process)
    if left:
        raise rarfile.BadRarFile("not all that its list has comes out")


@contextmanager
def unpacking(name: str, path: Path, password: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run unrar or unar, which write all files of an archive one behind the other. `finish` looks how it ended."""
    asked = [] if password is not None else ["-p-"]
    commands = {
        "unrar": ["unrar", "p", "-inul", "-cfg-", "-y", *asked, "--", str(path)],
        "unar": ["unar", "-quiet", "-output-directory", "-", str(path)],
    }
    with _running(commands[name]) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it never asked, or is gone: how it ends says so
            process.stdin.write(b"" if password is None else f"{password}\n".encode())
            process.stdin.close()
        yield process


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a program that has nothing more to say. Raises ToolFailed when it ends with an error."""
    assert process.stdout is not None
    while process.stdout.read(BLOCK):
        pass
    if process.wait() != 0:
        raise ToolFailed(process.returncode)


def next_file(stream: IO[bytes], info: rarfile.RarInfo) -> Iterator[bytes]:
    """Yield the content of the next file from what a program writes. All of it has to be taken before the one after it.

    Raises EOFError when it is cut off, rarfile.BadRarFile when its checksum is wrong.
    """
    left, crc = info.file_size, 0
    while left > 0:
        block = stream.read(min(left, BLOCK))
        if not block:
            raise EOFError("a member is cut off")
        left, crc = left - len(block), zlib_ng.crc32(block, crc)
        yield block
    if has_plain_checksum(info) and crc != info.CRC:
        raise rarfile.BadRarFile("a member's checksum is wrong")


def has_plain_checksum(info: rarfile.RarInfo) -> bool:
    """Tell whether a member's checksum is of its content alone: rar 5 mixes the password into that of an encrypted one."""
    return info.CRC is not None and not (info.needs_password() and getattr(info, "file_encryption", None))


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):  # what could not be written any more
                if stream:
                    stream.close()


def _feed(process: subprocess.Popen[bytes], parts: Sequence[Path]) -> None:
    """Give a program the files of an archive as one."""
    assert process.stdin is not None
    with suppress(OSError, ValueError):  # it has enough, or was stopped
        if parts:
            with opened(parts) as whole:
                shutil.copyfileobj(whole, process.stdin, BLOCK)
        process.stdin.close()


def _environment() -> dict[str, str]:
    """Return the environment of the programs: names and the password in UTF-8, and no word of other passwords."""
    environment = {**inherited_environment(), "LC_ALL": "C.UTF-8"}
    environment.pop("STEP1_PASSWORDS", None)
    return environment
