"""Raw analyses as frames, one after the other: JSON Lines, or one object with a long array, as older versions wrote it.

Neither is ever held in memory: of a file of any size there is one frame, and one block of the disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec

from workflow_scripts.step6.broken import MALFORMED, BrokenInput, broken_value, check_utf8, place
from workflow_scripts.step6.opening import DAMAGED, opened
from workflow_scripts.step6.signs import Signs, signs

LARGEST_PART = 1 << 26
"""Bytes of one frame, or of all that stands around the frames: more is taken for a broken file, and not for memory."""
_BLOCK = 1 << 20
_ARRAY = re.compile(rb'(?<!\\)"(?:frames_analysis|frames)"[ \t\r\n]*:[ \t\r\n]*\[')
_LONGEST_KEY = 1 << 10
"""Bytes before the bracket that the key may begin in."""
_BRACES, _BRACKETS = signs(b"{}"), signs(b"{}[]")
_MOST_FRAMES = 10**9
"""A year of video at 30 frames a second."""
_SLOWEST, _FASTEST = 0.001, 10_000
"""Frames a second."""
_RANGE = f"total_frames must be from 0 to {_MOST_FRAMES}, and fps from {_SLOWEST} to {_FASTEST}"
_BETWEEN = re.compile(rb"[ \t\r\n]*(?:(,)[ \t\r\n]*)?([{\]])")
_BETWEEN_BEGUN = re.compile(rb"[ \t\r\n]*(?:,[ \t\r\n]*)?")
Made = TypeVar("Made")


class Part(NamedTuple):
    """One frame's text, the byte it starts at, and its line (1-based) where the file is made of lines."""

    text: bytes
    offset: int
    line: int | None


@dataclass(frozen=True)
class Salvage:
    """What was taken of a truncated file: how many frames of how many, and what is wrong with the rest."""

    frames: int
    announced: int
    reason: str


@dataclass(frozen=True)
class Source:
    """A raw analysis: what it says of itself, and where its frames are.

    `fps` is in frames a second. `start` is the byte at which frames begin; `is_lines`: one a line, else elements of an array.
    """

    path: Path
    video_filename: str | None
    total_frames: int
    fps: int | float
    start: int
    is_lines: bool
    salvage: Salvage | None = None

    def frames(self, read: Callable[[bytes, int], Made]) -> Iterator[Made]:
        """Yield what `read` makes of each frame's text and number (1-based).

        Raises BrokenInput, with the place, when it cannot, or when there are more or fewer frames than announced.
        """
        number, part = 0, Part(b"", self.start, 1 if self.is_lines else None)
        for number, part in enumerate(self._wanted(), 1):
            yield self._made(read, part, number)
        if number != self.total_frames:
            reason = f"it announces {self.total_frames} frames and holds {number}"
            raise BrokenInput(self.path, place(part.offset + len(part.text), part.line), reason)

    def salvaged(self, read: Callable[[bytes, int], object]) -> Source:
        """Return the source with the frames alone that are whole, where a file of lines ends too early.

        Raises BrokenInput where it is broken in any other way, or nothing of it is whole.
        """
        parts, taken, reason = self.parts(), 0, "it ends between two lines"
        for part in parts:
            try:
                self._made(read, part, taken + 1)
            except BrokenInput as error:
                if not (self.is_lines and 0 < taken < self.total_frames) or next(parts, None) is not None:
                    raise
                reason = f"{error.place}: {error.reason}"
                break
            taken += 1
        if not (self.is_lines and 0 < taken < self.total_frames):
            return self
        return replace(self, total_frames=taken, salvage=Salvage(taken, self.total_frames, reason))

    def _made(self, read: Callable[[bytes, int], Made], part: Part, number: int) -> Made:
        try:
            check_utf8(part.text)
            return read(part.text, number)
        except MALFORMED as error:
            raise broken_value(self.path, part.text, part.offset, part.line, error) from error

    def _wanted(self) -> Iterator[Part]:
        return islice(self.parts(), self.total_frames) if self.salvage else self.parts()

    def parts(self) -> Iterator[Part]:
        """Yield the frames as they stand in the file."""
        try:
            with opened(self.path) as stream:
                stream.seek(self.start)
                yield from (
                    _lines(self.path, stream, self.start) if self.is_lines else _Elements(self.path, stream, self.start)
                )
        except DAMAGED as error:
            raise BrokenInput(self.path, "its compressed content", str(error)) from error


def _lines(path: Path, stream: BinaryIO, offset: int) -> Iterator[Part]:
    for number, text in enumerate(iter(partial(stream.readline, LARGEST_PART), b""), 2):
        if len(text) == LARGEST_PART:
            raise BrokenInput(path, f"line {number}, byte {offset}", f"no line is longer than {LARGEST_PART} bytes")
        yield Part(text, offset, number)
        offset += len(text)


class _Elements:
    """The objects of an array, split at their braces without being read."""

    def __init__(self, path: Path, stream: BinaryIO, start: int) -> None:
        self._path, self._stream = path, stream
        self._text, self._base = b"", start
        self.end = start
        """The byte behind the array, once all of it was yielded."""

    def __iter__(self) -> Iterator[Part]:
        at, is_first = 0, True
        while True:
            at, sign = self._next_element(at, is_first)
            if sign == b"]":
                self.end = self._base + at
                return
            at, element = self._element(at)
            yield Part(element, self._base + at - len(element), None)
            is_first = False

    def _next_element(self, at: int, is_first: bool) -> tuple[int, bytes]:
        """Return where the next element begins and `{`, or where the array has ended and `]`."""
        found = _BETWEEN.match(self._text, at)
        while found is None and _BETWEEN_BEGUN.fullmatch(self._text, at) and self._read_on(at):
            at, found = 0, _BETWEEN.match(self._text)
        if found is None or bool(found[1]) == (is_first or found[2] == b"]"):
            reason = "an object, a comma or the end of the array should stand here"
            raise BrokenInput(self._path, f"byte {self._base + at}", reason)
        return (found.end() if found[2] == b"]" else found.end() - 1), found[2]

    def _element(self, at: int) -> tuple[int, bytes]:
        """Return where the element that begins at `at` ends, in the text as it is now, and the element."""
        depth, scanned, braces = 0, at, Signs(_BRACES)
        while True:
            scanned, brace = braces.after(self._text, scanned)
            if brace:
                depth += 1 if brace == b"{" else -1
                if depth == 0:
                    return scanned, self._text[at:scanned]
            elif self._read_on(at):
                at, scanned = 0, scanned - at
            else:
                raise BrokenInput(self._path, f"byte {self._base + len(self._text)}", "it ends within a frame")

    def _read_on(self, at: int) -> bool:
        """Forget the text before `at` and read more; False at the end of the file."""
        kept = self._text[at:]
        if len(kept) > LARGEST_PART:
            raise BrokenInput(self._path, f"byte {self._base + at}", f"no frame is longer than {LARGEST_PART} bytes")
        more = self._stream.read(max(_BLOCK, len(kept)))
        self._text, self._base = (kept + more, self._base + at) if more else (self._text, self._base)
        return bool(more)


class _Inside(msgspec.Struct):
    """Facts that some older versions keep in an object of their own."""

    video_filename: str | None = None
    total_frames: int | None = None
    fps: int | float | None = None


class _Facts(_Inside):
    """What a raw file says beside its frames."""

    metadata: _Inside | None = None


class _Anything(msgspec.Struct):
    """An object that is looked through and not kept."""


def read_source(path: Path) -> Source:
    """Read what a raw analysis says of itself. Raises BrokenInput where it is none."""
    try:
        with opened(path) as stream:
            header = stream.readline(_BLOCK)
            if _begins_lines(path, header):
                return _source_of_lines(path, header)
            stream.seek(0)
            return _source_of_document(path, stream)
    except DAMAGED as error:
        raise BrokenInput(path, "its compressed content", str(error)) from error


def _begins_lines(path: Path, header: bytes) -> bool:
    """Tell whether the first line is an object by itself, without frames; where it is none, the name tells what it should be."""
    if _ARRAY.search(header) or header.strip() == b"{":
        return False
    return _is_json(header) or path.suffix == ".jsonl"


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=_Anything)
    except MALFORMED:
        return False
    return True


def _source_of_lines(path: Path, header: bytes) -> Source:
    try:
        check_utf8(header)
        facts = msgspec.json.decode(header, type=_Facts)
    except MALFORMED as error:
        raise broken_value(path, header, 0, 1, error) from error
    return _source(path, facts, facts.total_frames, "line 1, byte 0", len(header))


def _source_of_document(path: Path, stream: BinaryIO) -> Source:
    """Read all that stands around the frames, and count them without reading them."""
    head = _head(path, stream)
    stream.seek(len(head))
    elements = _Elements(path, stream, len(head))
    count = sum(1 for _ in elements)
    stream.seek(elements.end)
    around = head + b"]" + stream.read(LARGEST_PART)
    try:
        check_utf8(around)
        msgspec.json.decode(around, type=_Anything)  # names the very byte where there is no JSON
        facts = msgspec.json.decode(around, type=_Facts)
    except MALFORMED as error:
        broken = broken_value(path, around, 0, None, error)
        at = int(broken.place.removeprefix("byte "))
        at += elements.end - len(head) - 1 if at > len(head) else 0
        raise BrokenInput(path, place(at), broken.reason) from error
    return _source(path, facts, count, "its head", len(head), is_lines=False)


def _head(path: Path, stream: BinaryIO) -> bytes:
    """Return a document up to the bracket that begins its frames."""
    text, at, depth, brackets = b"", 0, 0, Signs(_BRACKETS)
    while len(text) < LARGEST_PART and (more := stream.read(max(_BLOCK, len(text)))):
        text += more
        at, bracket = brackets.after(text, at)
        while bracket:
            # Only an array right in the document, not in something within it, is that of the frames.
            if bracket == b"[" and depth == 1 and _begins_frames(text, at):
                return text[:at]
            depth += 1 if bracket in b"{[" else -1
            at, bracket = brackets.after(text, at)
    try:
        check_utf8(text)
        msgspec.json.decode(text, type=_Anything)
    except MALFORMED as error:
        raise broken_value(path, text, 0, None, error) from error
    raise BrokenInput(path, "its head", "it has neither frames_analysis nor frames")


def _begins_frames(text: bytes, end: int) -> bool:
    """Tell whether the bracket that ends at `end` stands behind the key of the frames."""
    key = text.rfind(b'"frames', max(0, end - _LONGEST_KEY), end)
    return key >= 0 and _ARRAY.fullmatch(text, key, end) is not None


def _source(path: Path, facts: _Facts, count: int | None, where: str, start: int, *, is_lines: bool = True) -> Source:
    inside = facts.metadata or _Inside()
    total = next((it for it in (facts.total_frames, inside.total_frames, count) if it is not None), None)
    fps, name = facts.fps or inside.fps, facts.video_filename or inside.video_filename
    if total is None or fps is None:
        raise BrokenInput(path, where, "it must say total_frames and fps")
    if not (0 <= total <= _MOST_FRAMES and _SLOWEST <= fps <= _FASTEST):
        raise BrokenInput(path, where, _RANGE)
    return Source(path, name, total, fps, start, is_lines)
