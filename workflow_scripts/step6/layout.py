"""A JSON document with long arrays, written as it comes: memory holds one element.

The bytes depend on the values and the indentation only. The text is ASCII, so that a reader needs to guess no encoding.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Layout:
    """How the document is laid out: `indent` spaces a level; 0 is compact, one element of an array a line."""

    indent: int

    def element(self, value: Any) -> bytes:
        """Encode one element of an array: of NaN and infinities there are none, since no reader lets them in."""
        return self._at_level(2, value)

    def write(self, stream: BinaryIO, members: Iterable[tuple[str, Any]]) -> None:
        """Write the members of the document in turn; one that is an iterator is an array of encoded elements.

        A member is asked for when all before it are written.
        """
        before = b"{"
        for key, value in members:
            stream.write(before + self._break(1) + _encode(key) + (b": " if self.indent else b":"))
            if isinstance(value, Iterator):
                self._write_array(stream, value)
            else:
                stream.write(self._at_level(1, value))
            before = b","
        stream.write(self._break(0) + b"}\n")

    def _write_array(self, stream: BinaryIO, elements: Iterator[bytes]) -> None:
        between = self._break(2) or b"\n"
        stream.write(b"[")
        for encoded in elements:
            stream.write(between + encoded)
            between = b"," + (self._break(2) or b"\n")
        stream.write((self._break(1) or b"\n") + b"]")

    def _at_level(self, level: int, value: Any) -> bytes:
        encoded = _ascii(_encode(value))
        if not self.indent:
            return encoded
        # A string's own line breaks are escaped: these are all layout.
        return msgspec.json.format(encoded, indent=self.indent).replace(b"\n", self._break(level))

    def _break(self, level: int) -> bytes:
        return b"\n" + b" " * (self.indent * level) if self.indent else b""


def _ascii(encoded: bytes) -> bytes:
    """Return the same JSON with whatever is beyond ASCII escaped."""
    if encoded.isascii():
        return encoded
    return json.dumps(json.loads(encoded), separators=(",", ":")).encode("ascii")
