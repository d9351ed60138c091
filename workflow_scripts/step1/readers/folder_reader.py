"""A folder of clips, or one clip: the clips are copied, the folder is left as it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.readers.common import Receiver, check_size
from workflow_scripts.stepkit.errors import ItemError


class FolderReader:
    """Clips of a folder, or of folders below it."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._root = root
        self._files = files

    def deliver(self, receiver: Receiver) -> None:
        """Take the clips one by one."""
        for path in self._files:
            name = path.relative_to(self._root).as_posix()
            member = Member(name, "file", path.stat().st_size)
            try:
                wanted = receiver.wants(member)
            except ItemError as refused:
                # In an archive such a name means harm; among a person's own files it is one file with an odd name.
                receiver.leave_out(member, refused.code)
                continue
            if wanted:
                self._copy(path, member, receiver)

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
