"""How pages look and read: language, theme, and the filters that write times, sizes and names."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from babel.support import NullTranslations, Translations
from flask import Flask, Response, g, request, url_for
from flask_babel import get_locale, get_translations
from flask_babel import gettext as _
from markupsafe import Markup

from config.catalog import StepSpec
from services.responses import AtWork, PreviewStep, StepStatus
from services.stages import Stage

LANGUAGES = {"en": "English", "fr": "Français"}
THEMES = ("auto", "light", "dark")
_STATIC = Path(__file__).with_name("static")
_BYTES = ("B", "kB", "MB", "GB", "TB")
_BYTES_FR = ("o", "ko", "Mo", "Go", "To")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_NO_CHARACTER = re.compile("[\ud800-\udfff]")


class PageResponse(Response):
    """An answer that can be sent whatever it names: Python reads file names that are no UTF-8 as lone surrogates."""

    def set_data(self, value: bytes | str) -> None:
        """Take the text of a page, or bytes."""
        try:
            super().set_data(value)
        except UnicodeEncodeError:
            super().set_data(readable(str(value)))


def init_app(app: Flask) -> None:
    """Give the templates what they use, and answer with what they make."""
    app.response_class = PageResponse
    app.jinja_env.filters.update(
        duration=duration, filesize=filesize, decimal=decimal, moment=moment, basename=basename, percent=percent,
        speed=speed, translated=translated,
    )  # fmt: skip
    app.jinja_env.globals.update(run_url=run_url, step_title=step_title)
    # Flask-Babel looks for the request's language anew at every word: a fifth of the time of a long page.
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: _catalogue().ugettext(text),
        lambda one, many, count: _catalogue().ungettext(one, many, count),
        newstyle=True,
    )
    app.context_processor(_common)
    app.url_defaults(_add_hash)
    app.url_defaults(_make_readable)


def _catalogue() -> Translations | NullTranslations:
    """Return the words of this request's language, looked up once a request."""
    if "catalogue" not in g:
        g.catalogue = get_translations()
    found: Translations | NullTranslations = g.catalogue
    return found


def language() -> str | None:
    """Return the language of a request: what was chosen in this browser, else what the browser asks for."""
    chosen = request.cookies.get("language")
    return chosen if chosen and chosen in LANGUAGES else request.accept_languages.best_match(list(LANGUAGES), "en")


def theme() -> str:
    """Return the theme that was chosen in this browser; `auto` follows the system."""
    chosen = request.cookies.get("theme")
    return chosen if chosen and chosen in THEMES else "auto"


def _common() -> dict[str, Any]:
    return {"languages": LANGUAGES, "theme": theme(), "locale": str(get_locale() or "en"), "themes": THEMES}


def _add_hash(endpoint: str, values: dict[str, Any]) -> None:
    """Let the address of a static file change with its content, so that browsers may keep it for good."""
    if endpoint == "static" and "filename" in values:
        path = _STATIC / values["filename"]
        if path.is_file():
            values["v"] = _hash(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _hash(path: Path, _changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _make_readable(_endpoint: str, values: dict[str, Any]) -> None:
    """Let every address be written; nothing is found at one that names a file whose name is no UTF-8."""
    values.update({name: readable(value) for name, value in values.items() if isinstance(value, str)})


def readable(text: str) -> str:
    """Return text that can be sent: what stands for a byte that is no UTF-8 becomes U+FFFD."""
    return _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text)


def duration(seconds: float | None) -> str:
    """Write seconds for people: `7 s`, `3 min 20 s`, `2 h 05`; a dash for None. An amount stays on one line."""
    if seconds is None:
        return "–"
    whole = round(max(0.0, float(seconds)))
    if whole < 60:
        text = decimal(f"{seconds:.1f} s") if 0 < float(seconds) < 10 else f"{whole} s"
    elif whole < 3600:
        text = f"{whole // 60} min {whole % 60:02d} s"
    elif whole < 86_400:
        text = f"{whole // 3600} h {whole % 3600 // 60:02d}"
    else:
        text = _("%(days)d d %(hours)d h", days=whole // 86_400, hours=whole % 86_400 // 3600)
    return text.replace(" ", _NO_BREAK)


def filesize(number: float | None) -> str:
    """Write a number of bytes for people, in powers of 1000."""
    if number is None:
        return "–"
    units = _BYTES_FR if _is_french() else _BYTES
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(units) - 1:
        value, unit = value / 1000, unit + 1
    text = f"{value:.0f}" if unit == 0 or value >= 99.95 else f"{value:.1f}"
    return f"{decimal(text)}{_NO_BREAK}{units[unit]}"


def decimal(text: str) -> str:
    """Write the decimal sign of the numbers in a text as the reader's language does."""
    return text.replace(".", ",") if _is_french() else text


def _is_french() -> bool:
    return str(get_locale()) == "fr"


def translated(text: str) -> str:
    """Return what a declaration says (a setting, a model, a workflow) in the reader's language; as it is without one."""
    return str(_(text))


def speed(task: AtWork) -> str:
    """Write how fast a task is, in its own unit: `118 frames/s`; empty while that is not known."""
    if not task.started_at or task.done <= 0:
        return ""
    seconds = (datetime.now(timezone.utc) - datetime.fromisoformat(task.started_at)).total_seconds()
    if seconds < 1:
        return ""
    rate = task.done / seconds
    if task.unit == "bytes":
        return f"{filesize(rate)}/s"
    text = f"{rate:.0f}" if rate >= 10 else decimal(f"{rate:.1f}")
    return f"{text} {_units().get(task.unit, task.unit)}/s".replace(" ", _NO_BREAK)


def _units() -> dict[str, str]:
    return {"frames": _("frames"), "seconds": _("s of sound"), "files": _("files")}


def step_title(step: StepStatus | PreviewStep | StepSpec | Stage) -> str:
    """Return what a step does, in the reader's language; a command's own title as it is."""
    titles: dict[str, str] = {
        "STEP1": _("Extraction"), "STEP2": _("25 fps proxies"), "STEP3": _("Scenes"), "STEP4": _("Sound and speech"),
        "STEP5": _("Tracking"), "STEP6": _("Reduction"), "STEP7": _("Delivery"),
    }  # fmt: skip
    step_id = step.id if isinstance(step, StepSpec) else step.label if isinstance(step, Stage) else step.step
    return titles.get(step_id or "", step.title)


def run_url(run_id: str) -> str:
    """Return the address of a run's page."""
    return url_for("executions.show", execution_id=run_id)


def percent(fraction: float | None) -> str:
    """Write a part of the whole, from 0 to 1; 100 % only when nothing is left."""
    if fraction is None:
        return "–"
    return f"{min(99, int(fraction * 100)) if fraction < 1 else 100}{_NO_BREAK}%"


def moment(text: str | None) -> Markup:
    """Write a time (ISO 8601, UTC) as `<time>`; a script shows it in the browser's own zone."""
    if not text:
        return Markup("–")
    shown = text[:19].replace("T", " ")
    return Markup('<time datetime="{}" data-moment>{} UTC</time>').format(text, shown)


def basename(path: object) -> str:
    """Return the last part of a path."""
    return str(path or "").rstrip("/").rpartition("/")[2]
