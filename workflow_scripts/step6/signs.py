"""Where a JSON text's own braces and brackets are, found without reading what stands between them.

A regular expression remembers every round of a repeated group, at some dozens of bytes: rounds are few here, and matches many.
"""

from __future__ import annotations

import re

_STRING_GOES_ON = re.compile(rb'(?:[^"\\]*\\.){0,64}[^"\\]*("|\\.)', re.DOTALL)
"""Within a string, up to its end, or over some of its escapes."""


def signs(wanted: bytes) -> re.Pattern[bytes]:
    """Make the pattern for one of the signs `wanted`, or for a quotation mark, behind strings that have no escapes."""
    either = re.escape(wanted)
    return re.compile(rb'[^"%b]*(?:"[^"\\]*"[^"%b]*){0,64}(["%b])' % (either, either, either))


class Signs:
    """Finds the signs of `pattern` that are in no string, in a text that comes in pieces."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self._in_string = False

    def after(self, text: bytes, at: int) -> tuple[int, bytes]:
        """Return where the next sign at or behind `at` ends, and the sign.

        With no sign left it is empty; the next search, in a longer text, then begins at the place that is returned.
        """
        while found := (_STRING_GOES_ON if self._in_string else self._pattern).match(text, at):
            at, sign = found.end(), found[1]
            if sign == b'"':
                self._in_string = not self._in_string
            elif not self._in_string:
                return at, sign
        return at, b""
