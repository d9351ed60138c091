"""In which character set an archive's names are written, where the archive does not say. Pure.

Zip names without the UTF-8 flag are in whatever the packing machine used: UTF-8 on macOS, code page 850 or 437 on a
Western Windows, 932 (Shift-JIS) on a Japanese one, 936 (GBK) on a Chinese one. Tar names are bare bytes. All names of
an archive are judged together, since one name is too short to tell.

Libraries that guess the encoding of texts are made for paragraphs: charset-normalizer 3.5 reads code page 850's
`Répétition générale` as 1252 (`R‚p‚tition g‚n‚rale`). So each candidate is scored by how likely its letters are in a
file's name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

CANDIDATES = ("cp850", "cp437", "cp1252", "cp932", "gbk")
"""In the order that decides between equals."""
FALLBACK = "cp437"
"""What zip's specification (APPNOTE, appendix D) says, and a byte that means nothing in it does not exist."""
_LEAST_SCORE = 0.25
"""Below it no candidate makes names that a person would write."""

_COMMON = frozenset("àâäáãçéèêëîïíìôöóòõûüúùñßœ")
_UNCOMMON = frozenset("åæøÿýðþ")
_TYPOGRAPHY = frozenset("’‘“”–—…«»°ºª€·¿¡")
_ASIAN_MARKS = frozenset("、。「」『』【】（）・ー〜～　！？")


@dataclass(frozen=True)
class NameDecoder:
    """Reads an archive's names that do not say how they are written. `legacy` is None where they are UTF-8."""

    legacy: str | None

    def __call__(self, raw: bytes) -> str:
        """Return a name; U+FFFD stands for what does not decode, which a guess always does."""
        return raw.decode(self.legacy or "utf-8", "replace")


def decoder_for(names: Collection[bytes], chosen: str = "auto") -> NameDecoder:
    """Return how these names of one archive are read: as `chosen` says, or as they most likely were written."""
    foreign = {name for name in names if not name.isascii()}
    if not foreign or (chosen == "auto" and all(map(is_utf8, foreign))):
        return NameDecoder(None)
    return NameDecoder(likeliest(foreign) if chosen == "auto" else chosen)


def is_utf8(name: bytes) -> bool:
    """Tell whether a name can be read as UTF-8."""
    return _decoded(name, "utf-8") is not None


def likeliest(names: Collection[bytes]) -> str:
    """Return the one of CANDIDATES that makes the likeliest names, FALLBACK when none makes any."""
    scores = {encoding: _score(names, encoding) for encoding in CANDIDATES}
    best = max(CANDIDATES, key=lambda encoding: scores[encoding])  # the first of equals
    return best if scores[best] >= _LEAST_SCORE else FALLBACK


def _decoded(name: bytes, encoding: str) -> str | None:
    try:
        return name.decode(encoding)
    except UnicodeDecodeError:
        return None


def _score(names: Collection[bytes], encoding: str) -> float:
    """Return the mean likelihood, from -1 to 1, of the letters beyond ASCII; -1 where a name cannot be read at all."""
    total, count = 0.0, 0
    for name in names:
        text = _decoded(name, encoding)
        if text is None:
            return -1.0
        weights = [_weight(text, at, encoding) for at, letter in enumerate(text) if not letter.isascii()]
        total, count = total + sum(weights), count + len(weights)
    return total / count if count else -1.0


def _weight(text: str, at: int, encoding: str) -> float:
    letter = text[at]
    if encoding in ("cp932", "gbk"):
        return _asian_weight(text, at, encoding)
    if letter in _TYPOGRAPHY:
        return 0.5
    known = 1.0 if letter.lower() in _COMMON else 0.3 if letter.lower() in _UNCOMMON else -1.0
    return -1.0 if known < 0 or _is_odd_in_a_word(text, at) else known


def _is_odd_in_a_word(text: str, at: int) -> bool:
    """Tell a capital behind a small letter (`RÚpÚtition`), a small one behind two capitals, the third accent in a row."""
    before = text[max(0, at - 2) : at]
    if before[-1:].islower() if text[at].isupper() else len(before) == 2 and before.isupper() and before.isalpha():
        return True
    return len(before) == 2 and not before.isascii() and all(not letter.isascii() for letter in before)


def _asian_weight(text: str, at: int, encoding: str) -> float:
    letter = text[at]
    name = unicodedata.name(letter, "")
    if name.startswith(("HIRAGANA", "KATAKANA")) or letter in _ASIAN_MARKS:
        weight = 1.0 if encoding == "cp932" or letter in _ASIAN_MARKS else 0.0
    elif name.startswith("CJK UNIFIED"):
        weight = _common_han(letter, encoding)
    else:
        weight = 0.0 if name.startswith("FULLWIDTH") else -1.0
    # One sign inside a Latin word (`No影l`) is most often a letter with an accent and its neighbour.
    return weight - 0.7 if _stands_alone_in_a_word(text, at) else weight


def _common_han(letter: str, encoding: str) -> float:
    """Return 1 for the everyday signs of JIS level 1 and GB 2312 level 1, 0 for level 2, less for the rest."""
    lead, trail = letter.encode(encoding)
    if encoding == "cp932":
        return 1.0 if lead <= 0x97 else 0.0
    if trail < 0xA1 or not 0xB0 <= lead <= 0xF7:
        return -1.0
    return 1.0 if lead <= 0xD7 else 0.0


def _stands_alone_in_a_word(text: str, at: int) -> bool:
    around = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
    return around.isascii() and any(letter.isalpha() for letter in around)
