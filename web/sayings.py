"""What the codes of errors and warnings mean, in the reader's language: steps and services say theirs in English.

`sayings.toml` has for each code what happened and what to do; translations have both in other languages. In those the
reader gets these first, and beneath them, as detail, what was said in English: that carries the names and numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flask import Flask
from flask_babel import get_locale
from flask_babel import gettext as _
from markupsafe import Markup

if sys.version_info >= (3, 11):
    import tomllib as toml
else:
    import tomli as toml

_FILE = Path(__file__).with_name("sayings.toml")
_DETAIL = Markup('<small class="detail" lang="en">{}</small>')


@dataclass(frozen=True)
class Saying:
    """An error or a warning as its reader gets it; `original` is what was said of it in English, where that is not this."""

    code: str
    message: str
    remedy: str
    original: str = ""

    @property
    def detail(self) -> Markup:
        """The original as a small line of a page; empty where there is none."""
        return _DETAIL.format(self.original) if self.original else Markup("")


def init_app(app: Flask) -> None:
    """Give the templates the filter `saying`."""
    app.jinja_env.filters["saying"] = saying


def saying(error: object) -> Saying:
    """Return what an error or a warning says to whoever asks: a record or a mapping of code, message, remedy.

    What lacks one of them has an empty text there. In English, and with a code that has no meaning here, it stays as it is.
    """
    code, message, remedy = (_text(error, name) for name in ("code", "message", "remedy"))
    if code not in meanings() or str(get_locale() or "en") == "en":
        return Saying(code, message, remedy)
    happened, to_do = meanings()[code]
    return Saying(code, _(happened), _(to_do), f"{message} {remedy}".strip())


@lru_cache(maxsize=1)
def meanings() -> Mapping[str, tuple[str, str]]:
    """Return what happened and what to do by the code, in English."""
    groups = toml.loads(_FILE.read_text(encoding="utf-8"))
    return {code: (happened, to_do) for group in groups.values() for code, (happened, to_do) in group.items()}


def _text(error: object, name: str) -> str:
    found = error.get(name) if isinstance(error, Mapping) else getattr(error, name, None)
    return "" if found is None else str(found)
