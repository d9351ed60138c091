"""The interface's words in French: all there, none left over, and nothing English of them on a French page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo
from flask import Flask
from flask.testing import FlaskClient

from config.settings import Settings
from scripts.translate import FILES, WEB, is_translated, read, words
from services.executions import Store
from tests.panel.made_runs import BigRun, make_run
from web.presentation import LANGUAGES, decimal, duration, filesize, percent

CATALOGUES = {path.parents[1].name: path for path in (WEB / "translations").glob(FILES)}
NO_BREAK = "\u00a0"
_PLACEHOLDER = re.compile(r"%\(\w+\)[ds]|\{\w+\}|<[^>]+>|`[^`]+`")
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "source", "wbr"})
_CODE = frozenset({"code", "pre", "script"})
_SPOKEN = frozenset({"alt", "aria-label", "placeholder", "title"})


@lru_cache(maxsize=1)
def wanted() -> Catalog:
    return words()


@lru_cache
def catalog(path: Path) -> Catalog:
    return read(path)


def texts(message: str | Iterable[str]) -> tuple[str, ...]:
    return (message,) if isinstance(message, str) else tuple(message)


def messages(of: Catalog) -> dict[tuple[str, ...], Message]:
    return {texts(message.id): message for message in of if message.id}


def test_every_language_that_is_offered_has_its_words() -> None:
    assert CATALOGUES.keys() == LANGUAGES.keys() - {"en"}


@pytest.mark.parametrize("path", CATALOGUES.values(), ids=CATALOGUES)
class TestLanguage:
    def test_has_the_texts_of_the_pages_and_no_others(self, path: Path) -> None:
        assert messages(catalog(path)).keys() == messages(wanted()).keys()
        assert not catalog(path).obsolete

    def test_translates_every_text(self, path: Path) -> None:
        assert [message.id for message in messages(catalog(path)).values() if not is_translated(message)] == []

    def test_keeps_placeholders_marks_and_commands(self, path: Path) -> None:
        for english, message in messages(catalog(path)).items():
            for before, after in zip(english, texts(message.string), strict=True):
                assert sorted(_PLACEHOLDER.findall(before)) == sorted(_PLACEHOLDER.findall(after)), before

    def test_is_compiled(self, path: Path) -> None:
        with path.with_suffix(".mo").open("rb") as stream:
            compiled = messages(read_mo(stream))
        found = messages(catalog(path))
        assert compiled.keys() == found.keys()
        assert [text for text in found if texts(compiled[text].string) != texts(found[text].string)] == []


def test_french_is_set_as_french_is() -> None:
    """Apostrophes are curved, and no line begins with a sign that belongs to the word before it."""
    for message in messages(catalog(CATALOGUES["fr"])).values():
        for text in texts(message.string):
            prose = re.sub(r"`[^`]+`|<code>.*?</code>", "", text)
            assert not re.search(rf"\w'\w|[^{NO_BREAK}] ?[:;?!»](?=\s|$)|«(?!{NO_BREAK})", prose), text


def test_amounts_are_written_as_the_reader_writes_them(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "fr"}):
        assert (duration(7.46), filesize(1_540_000), decimal("0.5 · 12.0")) == (
            "7,5\u00a0s",
            "1,5\u00a0Mo",
            "0,5 · 12,0",
        )
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert (duration(7.46), filesize(1_540_000), decimal("0.5 · 12.0")) == (
            "7.5\u00a0s",
            "1.5\u00a0MB",
            "0.5 · 12.0",
        )
        assert (duration(87), duration(93_600), percent(0.5)) == (
            "1\u00a0min\u00a027\u00a0s",
            "1\u00a0d\u00a02\u00a0h",
            "50\u00a0%",
        )


# Pages as they are rendered


class Shown(HTMLParser):
    """What a reader of the page's own language reads or hears: text and labels, without code and other languages."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._language = re.search(r'<html lang="(\w+)"', page)
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        language = self._language[1] if self._language else None
        is_left_out = tag in _CODE or given.get("lang", language) != language or any(out for _, out in self._open)
        if not is_left_out:
            said = (
                value for name, value in given.items() if name in _SPOKEN or (name.startswith("data-") and " " in value)
            )
            self.found += [text.strip() for text in said]
        if tag not in _VOID:
            self._open.append((tag, is_left_out))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and not any(out for _, out in self._open):
            self.found.append(re.sub(r"\s+", " ", data.strip()))


@lru_cache(maxsize=1)
def english() -> list[re.Pattern[str]]:
    """The English texts that are others in French, as they come out on a page."""
    known = messages(catalog(CATALOGUES["fr"]))
    french = {piece for message in known.values() for text in texts(message.string) for piece in pieces(text)}
    return [
        re.compile(pattern(text)) for found in known for whole in found for text in pieces(whole) if text not in french
    ]


def pieces(text: str) -> Iterator[str]:
    """Part a text where the page has an element."""
    yield from (part.strip() for part in re.split(r"<[^>]+>", text) if re.search(r"[a-z]{2}", part))


def pattern(text: str) -> str:
    """Match a text with whatever stands for its placeholders."""
    parts = re.split(r"(%\(\w+\)[ds]|\{\w+\})", text)
    stands_for = {"d": r"\d+", "s": r"\S+(?: \S+)?", "}": r"\{\w+\}"}
    return "".join(stands_for[part[-1]] if number % 2 else re.escape(part) for number, part in enumerate(parts))


def left_over(page: str) -> set[str]:
    return {text for text in Shown(page).found if any(each.fullmatch(text) for each in english())}


@pytest.fixture
def pages(client: FlaskClient, store: Store, panel_settings: Settings) -> list[str]:
    """The addresses of the pages, over a history with something on each."""
    project = panel_settings.projects_dir / "day"
    (project / ".derush").mkdir(parents=True)
    (project / ".derush" / "clip.json").write_text('{"schema": "derush.record/1", "steps": {}, "failures": {}}')
    logs = panel_settings.logs_dir / "step3"
    logs.mkdir(parents=True)
    (logs / "day.log").write_text("2026-03-01T08:00:00+00:00 INFO begun\n")
    cut_short = make_run("interrupted", 100.0)
    store.save([cut_short])
    big = BigRun(3, failing=2, project=str(project)).save(store)
    run, task = f"/executions/{big.run.id}", big.of("STEP3")[0]
    return [
        "/", "/workflow", "/executions", f"/executions/{cut_short.id}", run, f"{run}?part={task.id}",
        f"{run}?part={big.steps['STEP3'].id}", f"{run}/videos", f"{run}/timeline", f"{run}/timeline?step=step3",
        f"{run}/files", f"{run}/commands", "/projects", "/projects/day", "/logs", "/logs?folder=step3",
        "/logs/step3/day.log?q=begun", "/browse", "/system/", "/system/environments", "/system/models", "/system/doctor",
        "/system/settings", "/system/tokens", "/system/audit", "/api/v1/docs", "/password", "/not-there",
    ]  # fmt: skip


def test_no_english_is_left_on_a_french_page(client: FlaskClient, anonymous: FlaskClient, pages: list[str]) -> None:
    for browser, path in [*((client, path) for path in pages), (anonymous, "/login")]:
        in_french = browser.get(path, headers={"Accept-Language": "fr"})
        assert in_french.status_code == (404 if path == "/not-there" else 200), path
        assert left_over(in_french.text) == set(), path
        assert left_over(browser.get(path).text), path  # what is looked for would be found
