"""What every reader does, and what it is given to do it with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.formats import BROKEN_STREAM
from workflow_scripts.step1.safe_folder import NewFile
from workflow_scripts.stepkit.errors import ItemError

_BLOCK = 1 << 20
_REMEDY = "Copy or download the archive again; if that does not help, ask for it to be packed anew."


class Receiver(Protocol):
    """Who decides on members and takes their content."""

    def wants(self, member: Member) -> bool:
        """Decide on a member. Each is asked for once, in the archive's order, before its content is touched."""
        ...

    def leave_out(self, member: Member, reason: str) -> None:
        """Take note of a member that cannot be taken while the others can."""
        ...

    def open(self, member: Member) -> NewFile:
        """Make the file of a member that is wanted."""
        ...

    def close(self, file: NewFile) -> None:
        """Take the finished file."""
        ...


class Reader(Protocol):
    """Hands the members of one source to a receiver, content as a stream, in the order that reads the source once."""

    def deliver(self, receiver: Receiver) -> None:
        """Walk the source. Raises ItemError for one that is damaged, encrypted or of a kind that cannot be read."""
        ...


def pump(stream: IO[bytes], member: Member, receiver: Receiver) -> None:
    """Hand over one member's content. Raises ItemError when there is less of it than the archive says."""
    file = receiver.open(member)
    while block := stream.read(_BLOCK):
        file.write(block)
    check_size(member, file)
    receiver.close(file)


def check_size(member: Member, file: NewFile) -> None:
    """Raise ItemError when a member came out with another size than the archive says."""
    if member.size is not None and file.size != member.size:
        raise ItemError(
            "damaged_archive", f"{file.path} has {file.size} of {member.size} bytes in the archive.", _REMEDY
        )


@contextmanager
def damage_named(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn what a library raises for a damaged archive into an ItemError."""
    try:
        yield
    except errors as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the archive's
        raise ItemError("damaged_archive", f"{path.name} is damaged or cut off ({error}).", _REMEDY) from error


DAMAGE = (*BROKEN_STREAM, ValueError, IndexError, KeyError, AssertionError)
"""Libraries that parse broken headers raise these beside their own errors."""
