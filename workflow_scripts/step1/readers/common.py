"""What every reader does, and what it is given to do it with."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.formats import BROKEN_STREAM
from workflow_scripts.step1.safe_folder import NewFile
from workflow_scripts.step1.volumes import is_cut_in_pieces, next_part
from workflow_scripts.stepkit.errors import ItemError

BLOCK = 1 << 18
UNPACK = "Unpack it yourself and give Derush the folder."
_REMEDY = "Copy or download the archive again; if that does not help, ask for it to be packed anew."

DAMAGE = (*BROKEN_STREAM, ValueError, IndexError, KeyError, AssertionError, struct.error)
"""Libraries that parse broken headers raise these beside their own errors."""


@dataclass(frozen=True)
class Packed:
    """An archive to be read: its files in their order, the passwords to try, how names are written that do not say it.

    `path` is the one of its files that a person named.
    """

    path: Path
    parts: tuple[Path, ...]
    passwords: tuple[str, ...] = field(default=(), repr=False)
    name_encoding: str = "auto"


class Receiver(Protocol):
    """Who decides on members and takes their content."""

    def wants(self, member: Member) -> bool:
        """Decide on a member. Each is asked for once, in the archive's order, before its content is touched."""
        ...

    def leave_out(self, member: Member, reason: str) -> None:
        """Take note of a member that cannot be taken while the others can."""
        ...

    def rename(self, refused: Member, taken: Member, reason: str) -> None:
        """Take note of a member that is taken under another name than its own."""
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
        """Walk the source. Raises ItemError for one that is damaged, locked, incomplete or of a kind that is not read."""
        ...


def pump(blocks: Iterable[bytes], member: Member, receiver: Receiver) -> None:
    """Hand over one member's content."""
    file = receiver.open(member)
    for block in blocks:
        file.write(block)
    receiver.close(file)


def blocks_of(stream: IO[bytes], member: Member) -> Iterator[bytes]:
    """Yield a member's content from a stream. Raises ItemError when it has another size than the archive says."""
    size = 0
    while block := stream.read(BLOCK):
        size += len(block)
        yield block
    check_size(member, size)


def check_size(member: Member, size: int) -> None:
    """Raise ItemError when a member came out with another size than the archive says."""
    if member.size is not None and size != member.size:
        raise ItemError("damaged_archive", f"{member.name} has {size} of {member.size} bytes in the archive.", _REMEDY)


@contextmanager
def damage_named(packed: Packed, *errors: type[Exception], doubt: str = "") -> Iterator[None]:
    """Turn what a library raises for a damaged archive into an ItemError. `doubt` says what else it may be."""
    try:
        yield
    except errors as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the archive's
        raise damaged(packed, f"{error}{doubt}") from error


def damaged(packed: Packed, why: str) -> ItemError:
    """Return the error for an archive that cannot be read to its end; of one cut in pieces, one may be missing."""
    if is_cut_in_pieces(packed.parts):
        sizes = [path.stat().st_size for path in packed.parts]
        following = next_part(packed.parts)
        if sizes[-1] == sizes[0] and following:  # only the last piece may be smaller, and only a last one is
            return missing_volume(packed, [following.name])
    return ItemError("damaged_archive", f"{packed.path.name} is damaged or cut off ({why}).", _REMEDY)


def missing_volume(packed: Packed, names: Sequence[str]) -> ItemError:
    """Return the error for an archive of several files, some of which are not there."""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return ItemError(
        "missing_volume", f"{packed.path.name} is one file of several, and {shown} is not there.",
        f"Put the missing files beside {packed.path.name}, under the names they were sent with, and run again.",
    )  # fmt: skip


def later_part(path: Path, lead: Path) -> ItemError:
    """Return the error for a file that is no archive by itself, but a further part of one."""
    if lead.exists():
        return ItemError("not_first_volume", f"{path.name} is a part of {lead.name}.", f"Give {lead.name}; its parts must lie beside it.")  # fmt: skip
    return missing_volume(Packed(path, (path,)), [lead.name])


def missing_password(packed: Packed) -> ItemError:
    """Return the error for an archive that needs a password while none is known."""
    return ItemError(
        "missing_password", f"{packed.path.name} is protected by a password, and none is known.",
        f"Write its password into STEP1_PASSWORDS_FILE (a line of its own, or `{packed.path.name}`, a tab, the password) "
        "or into STEP1_PASSWORDS, and run again; STEP1 run by hand in a terminal asks for it.",
    )  # fmt: skip


def wrong_password(packed: Packed, doubt: str = "") -> ItemError:
    """Return the error for an archive that none of the known passwords opens. `doubt` says what else it may be."""
    tried = f"none of the {len(packed.passwords)} known passwords opens" if packed.passwords[1:] else "the known password does not open"  # fmt: skip
    return ItemError(
        "wrong_password", f"{packed.path.name} is protected by a password, and {tried} it{doubt}.",
        "Ask the sender for the password (capitals and spaces count), put it into STEP1_PASSWORDS_FILE or "
        "STEP1_PASSWORDS, and run again.",
    )  # fmt: skip
