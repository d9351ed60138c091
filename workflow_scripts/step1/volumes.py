"""Archives in several files: which files make one archive, in their order, and how they are read as one.

| names                              | what they are                                                               |
| `x.z01`, `x.z02` … `x.zip`         | a split zip; `.zip` is its last part, and the one a person opens            |
| `x.7z.001`, `x.7z.002` …           | any archive cut into pieces (7-Zip, `split`); the pieces are of one size    |
| `x.part1.rar`, `x.part2.rar` …     | rar; with leading zeros where there are more than nine                      |
| `x.rar`, `x.r00` … `x.r99`, `x.s00`| rar, as it was named before                                                 |

The part that stands for the archive is its lead; only the lead is offered. Parts are known by their names, since most
have no mark of their own; what the archive is, its content says (`formats`).
"""

from __future__ import annotations

import bisect
import io
import os
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile
from pathlib import Path
from typing import IO

_SPLIT_ZIP = re.compile(r"(.+)\.z\d{2,3}$", re.IGNORECASE)
_PIECE = re.compile(r"(.+\.(?:zip|7z|rar|tar|gz|bz2|xz|zst|tgz|tbz2?|txz|tzst)\.)(\d{3,4})$", re.IGNORECASE)
_RAR_PART = re.compile(r"(.+\.part)(\d{1,5})(\.rar)$", re.IGNORECASE)
_OLD_RAR = re.compile(r"(.+)\.[r-y]\d\d$", re.IGNORECASE)
_BUFFER = 1 << 18


def lead_of(path: Path) -> Path | None:
    """Return the lead that a later part belongs to, whether it is there or not; None for any other file."""
    name = path.name
    if match := _SPLIT_ZIP.match(name):
        return _in_either_case(path, f"{match[1]}.zip")
    if match := _OLD_RAR.match(name):
        return _in_either_case(path, f"{match[1]}.rar")
    if (match := _RAR_PART.match(name)) and int(match[2]) > 1:
        wide = path.with_name(f"{match[1]}{1:0{len(match[2])}}{match[3]}")
        return wide if wide.exists() else path.with_name(f"{match[1]}1{match[3]}")
    if (match := _PIECE.match(name)) and int(match[2]) > 1:
        return path.with_name(f"{match[1]}{1:0{len(match[2])}}")
    return None


def parts_of(lead: Path) -> tuple[Path, ...]:
    """Return the files of an archive in the order they are read in, up to the first that is not there."""
    later = takewhile(Path.is_file, _later_parts(lead))
    return (*later, lead) if _is_zip(lead) else (lead, *later)


def next_part(parts: Sequence[Path]) -> Path | None:
    """Return the part that would follow the last; None where an archive has one file by its name."""
    lead = parts[-1] if _is_zip(parts[-1]) else parts[0]
    found = {path.name for path in parts}
    return next((path for path in _later_parts(lead) if path.name not in found), None)


def whole_name(name: str) -> str:
    """Return the name that an archive in parts would have in one piece: `x.7z` of `x.7z.001`, `x.rar` of `x.part1.rar`."""
    if match := _PIECE.match(name):
        return match[1][:-1]
    match = _RAR_PART.match(name)
    return match[1][: -len(".part")] + match[3] if match else name


def zip_part(lead: Path, number: int) -> Path:
    """Return the name of part `number`, from 1 on, of a split zip: `.z01`."""
    return _in_either_case(lead, f"{lead.name[:-4]}.z{number:02}")


def is_cut_in_pieces(parts: Sequence[Path]) -> bool:
    """Tell an archive that was cut wherever the size was reached: to be read, its pieces are put together again."""
    return _PIECE.match(parts[0].name) is not None


def _is_zip(path: Path) -> bool:
    return path.name.lower().endswith(".zip")


def _later_parts(lead: Path) -> Iterator[Path]:
    """Yield the names of the parts beside a lead, without end as far as the scheme has any."""
    name = lead.name
    if _is_zip(lead):
        yield from (zip_part(lead, number) for number in range(1, 1000))
    elif match := _RAR_PART.match(name):
        width = len(match[2])
        yield from (lead.with_name(f"{match[1]}{number:0{width}}{match[3]}") for number in range(2, 10**5))
    elif name.lower().endswith(".rar"):
        letters = ((letter, number) for letter in "rstuvwxy" for number in range(100))
        yield from (_in_either_case(lead, f"{name[:-4]}.{letter}{number:02}") for letter, number in letters)
    elif match := _PIECE.match(name):
        first, width = int(match[2]), len(match[2])
        yield from (lead.with_name(f"{match[1]}{number:0{width}}") for number in range(first + 1, 10**width))


def _in_either_case(beside: Path, name: str) -> Path:
    """Return a file beside another, its suffix in capitals where only that is there."""
    path = beside.with_name(name)
    shouted = path.with_suffix(path.suffix.upper())
    return shouted if not path.exists() and shouted.exists() else path


def starts_of(parts: Sequence[Path]) -> list[int]:
    """Return the offsets at which the files begin in the whole."""
    return [0, *accumulate(path.stat().st_size for path in parts)][:-1]


class Joined(io.RawIOBase):
    """Several files read as one; one of them is open at a time."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._parts = parts
        self._starts = starts_of(parts)
        self._size = self._starts[-1] + parts[-1].stat().st_size
        self._position = 0
        self._number = -1
        self._open: IO[bytes] | None = None

    def readable(self) -> bool:
        """Reading is what it is for."""
        return True

    def seekable(self) -> bool:
        """Any place in any part can be gone to."""
        return True

    def tell(self) -> int:
        """Return the place in the whole."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the whole."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read on, at most to the end of a part."""
        while self._position < self._size:
            number = bisect.bisect_right(self._starts, self._position) - 1
            file = self._opened(number)
            file.seek(self._position - self._starts[number])
            count = file.readinto(buffer)  # type: ignore[attr-defined]
            if count == 0:
                break  # shorter than it was: whoever reads finds that something is missing
            self._position += count
            return int(count)
        return 0

    def _opened(self, number: int) -> IO[bytes]:
        if number != self._number or self._open is None:
            self._close()
            self._open, self._number = self._parts[number].open("rb", buffering=0), number
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def close(self) -> None:
        """Close the part that is open."""
        self._close()
        super().close()


def opened(parts: Sequence[Path]) -> IO[bytes]:
    """Open the files of an archive as one, to read from any place."""
    return parts[0].open("rb") if len(parts) == 1 else io.BufferedReader(Joined(parts), _BUFFER)
