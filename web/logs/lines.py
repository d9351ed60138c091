"""Lines of a log as HTML: colours as classes, every other control code gone, everything else escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from markupsafe import Markup, escape
from rich.ansi import AnsiDecoder
from rich.color import Color, ColorSystem
from rich.style import Style

from services.log_lines import Line
from services.log_search import Hit

_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CODES = (
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # a title, a link
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # strings for the terminal itself
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # colours, the cursor, the screen
    r"|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_ANY_CODE = re.compile(_CODES)
_NO_COLOUR = re.compile(rf"(?!\x1b\[[\d;]{{0,40}}m)(?:{_CODES})", re.ASCII)


def to_html(lines: Iterable[Line]) -> str:
    """Write lines as elements whose ids say where they begin: `b=1234`. The id is also what a link to a line names."""
    return "".join(
        f'<div class="line {line.level.lower()}" id="b={line.start}">{_coloured(_text(line.raw))}</div>'
        for line in lines
    )


def hit_to_html(hit: Hit) -> Markup:
    """Write what stands around the words of a hit, and mark them."""
    before, words, after = (
        escape(_ANY_CODE.sub("", part.decode("utf-8", "ignore"))) for part in (hit.before, hit.words, hit.after)
    )
    return Markup("{}<mark>{}</mark>{}").format(before, words, after)


def _text(raw: bytes) -> str:
    """Return a line's text. What a carriage return would have written over is shown on a line of its own."""
    return raw.decode("utf-8", "replace").rstrip("\r\n").replace("\r", "\n")


def _coloured(text: str) -> str:
    if not _ODD.search(text):
        return escape(text)
    decoded = AnsiDecoder().decode_line(_NO_COLOUR.sub("", text))
    return "".join(_spans(decoded.plain, [(span.start, span.end, span.style) for span in decoded.spans]))


def _spans(text: str, styled: Iterable[tuple[int, int, str | Style]]) -> Iterator[str]:
    position = 0
    for start, end, style in styled:
        classes = _classes(style) if isinstance(style, Style) else ""
        yield escape(text[position:start])
        yield f'<span class="{classes}">{escape(text[start:end])}</span>' if classes else escape(text[start:end])
        position = end
    yield escape(text[position:])


@lru_cache(maxsize=512)
def _classes(style: Style) -> str:
    """Return the classes of a style. What would hide text (concealed, blinking) is left out."""
    flags = ("bold", "dim", "italic", "underline", "reverse", "strike")
    names = [name for name in flags if getattr(style, name)]
    names += [f"{kind}-{number}" for kind, colour in (("fg", style.color), ("bg", style.bgcolor))
              if (number := _number(colour)) is not None]  # fmt: skip
    return " ".join(names)


def _number(colour: Color | None) -> int | None:
    """Return the nearest of the sixteen colours that a theme defines."""
    return colour.downgrade(ColorSystem.STANDARD).number if colour else None
