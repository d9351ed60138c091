"""A folder of clips, or one clip: the clips are copied, the folder is left as it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.name_encodings import decoder_for, is_utf8
from workflow_scripts.step1.portable_names import marked_name, mistaken_by_windows
from workflow_scripts.step1.readers.common import Receiver, check_size
from workflow_scripts.stepkit.errors import ItemError


class FolderReader:
    """Clips of a folder, or of folders below it."""

    def __init__(self, root: Path, files: Sequence[Path], name_encoding: str = "auto") -> None:
        self._root = root
        self._files = files
        self._name_encoding = name_encoding

    def deliver(self, receiver: Receiver) -> None:
        """Take the clips one by one."""
        stored = [os.fsencode(path.relative_to(self._root)) for path in self._files]
        decoder = decoder_for({name for name in stored if not is_utf8(name)}, self._name_encoding)
        for path, name in zip(self._files, stored, strict=True):
            size = path.stat().st_size
            if is_utf8(name):
                member = Member(name.decode(), "file", size)
            else:
                member = Member(decoder(name), "file", size, encoding=decoder.legacy)
            if taken := _admitted(member, receiver):
                self._copy(path, taken, receiver)

    @staticmethod
    def _copy(path: Path, member: Member, receiver: Receiver) -> None:
        file = receiver.open(member)
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            file.copy_from(source)
        finally:
            os.close(source)
        check_size(member, file.size)
        receiver.close(file)


def _admitted(member: Member, receiver: Receiver) -> Member | None:
    """Return a clip as it is let in; None when it is not.

    In an archive a name that cannot be means harm; among a person's own files it is one file with an odd name, and gets
    another.
    """
    try:
        return member if receiver.wants(member) else None
    except ItemError as refused:
        other = replace(member, name=_other_name(member.name))
        try:
            receiver.wants(other)
        except ItemError:
            receiver.leave_out(member, refused.code)
            return None
        receiver.rename(member, other, refused.code)
        return other


def _other_name(path: str) -> str:
    """Return a path without what refuses one, whose last part has a mark that tells it from every other."""
    plain = "".join(letter if letter.isprintable() else "_" for letter in path)
    *folders, name = plain.split("/")
    named = [marked_name(folder, folder) if mistaken_by_windows(folder) else folder for folder in folders]
    return "/".join((*named, marked_name(name, path)))
