"""A JSON document with a long `frames_analysis` array, written as it comes: memory holds one frame.

The bytes depend on the values and the indentation only. The text is ASCII, so that a reader needs to guess no
encoding, and NaN or an infinity is an error, as in standard JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TextIO


@dataclass(frozen=True)
class Layout:
    """How the document is laid out: `indent` spaces a level; 0 is compact, one frame a line."""

    indent: int

    @cached_property
    def _encode(self) -> Callable[[Any], str]:
        separators = (",", ": ") if self.indent else (",", ":")
        return json.JSONEncoder(allow_nan=False, indent=self.indent or None, separators=separators).encode

    def frame(self, value: Mapping[str, Any]) -> str:
        """Encode one element of the array. Raises ValueError for NaN and infinities."""
        return self._at_level(2, value)

    def write(self, stream: TextIO, head: Mapping[str, Any], frames: Iterable[str], tail: Mapping[str, Any]) -> None:
        """Write `head`, the array and `tail`; `frames` are encoded elements, as `frame` makes them."""
        stream.write("{" + self._members(head) + "," + self._break(1) + self._name("frames_analysis") + "[")
        separator = self._break(2) or "\n"
        for encoded in frames:
            stream.write(separator + encoded)
            separator = "," + (self._break(2) or "\n")
        stream.write((self._break(1) or "\n") + "]")
        stream.write(("," + self._members(tail) if tail else "") + self._break(0) + "}\n")

    def _members(self, values: Mapping[str, Any]) -> str:
        return ",".join(self._break(1) + self._name(key) + self._at_level(1, value) for key, value in values.items())

    def _name(self, key: str) -> str:
        return json.dumps(key) + (": " if self.indent else ":")

    def _at_level(self, level: int, value: Any) -> str:
        encoded = self._encode(value)
        # A string's own line breaks are escaped: these are all layout.
        return encoded.replace("\n", self._break(level)) if self.indent else encoded

    def _break(self, level: int) -> str:
        return "\n" + " " * (self.indent * level) if self.indent else ""
