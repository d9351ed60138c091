"""Searching in a log of any size, in either direction: block by block, hits as they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from config.contract import Exit
from services.errors import ServiceError
from services.log_file import LogFile
from services.log_lines import LONGEST, last_edge

LONGEST_WORDS = 200
_BLOCK = 1 << 18
_SHOWN_BEFORE, _SHOWN_AFTER = 80, 160
"""Bytes of a hit's line that are shown beside the words."""


class Hit(NamedTuple):
    """A line with the words: where it begins, and what stands in it before them, they themselves, what stands after."""

    line: int
    before: bytes
    words: bytes
    after: bytes


@dataclass(frozen=True)
class Words:
    """What is searched for, as bytes in small letters, and how text is made comparable to it without changing its length."""

    folded: bytes
    pairs: tuple[tuple[bytes, bytes], ...]

    def fold(self, block: bytes) -> bytes:
        """Write a block in small letters: those of ASCII, and the others that the words have."""
        block = block.lower()
        for capital, small in self.pairs:
            block = block.replace(capital, small)
        return block


def words_of(text: str) -> Words:
    """Read what a person typed. Raises ServiceError bad_search when it is empty or longer than LONGEST_WORDS."""
    lowered = text.lower().encode("utf-8", "replace")
    if not 0 < len(text) <= LONGEST_WORDS or b"\n" in lowered:
        message = f"A search is for 1 to {LONGEST_WORDS} characters of one line."
        raise ServiceError("bad_search", message, "Type a word that stands in the log.", Exit.USAGE)
    pairs = {(char.upper().encode(), char.encode()) for char in text.lower() if not char.isascii() and char.isalpha()}
    return Words(lowered, tuple(pair for pair in pairs if len(pair[0]) == len(pair[1]) and pair[0] != pair[1]))


def search(log: LogFile, words: Words, start: int, *, backwards: bool = False) -> Iterator[Hit | int]:
    """Yield the lines with the words, each once: from the line at `start` on, or before it, the nearest first.

    After each block it yields how far it came, an offset, so that the caller can say so, or give up.
    """
    place = log.line_at(max(0, start)) if start < log.size else log.size  # a last line without an end is before the end
    for begin, end in _blocks(log, place, backwards):
        block = log.read(begin, end + len(words.folded) - 1)  # words may stand across a cut in a very long line
        hits = _places(words.fold(block), words.folded, begin)
        for line, at in reversed(list(hits)) if backwards else hits:
            yield _hit(block, line - begin, at, len(words.folded), line)
        yield begin if backwards else end


def _blocks(log: LogFile, start: int, backwards: bool) -> Iterator[tuple[int, int]]:
    """Yield stretches of whole lines, up to the end of the file as it is now, or back to its beginning."""
    size, position = log.size, start
    while position > 0 if backwards else position < size:
        far = position - _BLOCK if backwards else position + _BLOCK
        edge = log.line_at(max(0, far)) if far < size else size
        yield (edge, position) if backwards else (position, edge)
        position = edge


def _places(folded: bytes, words: bytes, begin: int) -> Iterator[tuple[int, int]]:
    """Yield where lines with the words begin, and where in the block the first of them stand."""
    at, last = folded.find(words), -1
    while at >= 0:
        line = last_edge(folded, begin, at)
        if line != last:
            yield line, at
        last, newline = line, folded.find(b"\n", at)
        cut = line - begin + LONGEST
        at = folded.find(words, max(at + 1, min(newline, cut) if newline >= 0 else cut))


def _hit(block: bytes, line: int, at: int, length: int, offset: int) -> Hit:
    newline = block.find(b"\n", at)
    end = min(newline if newline >= 0 else len(block), at + length + _SHOWN_AFTER)
    return Hit(offset, block[max(line, at - _SHOWN_BEFORE) : at], block[at : at + length], block[at + length : end])
