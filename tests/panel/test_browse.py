"""The folders that the dialog for inputs shows: what is below the roots, and no more; names are text, whatever they say."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config.settings import Settings
from services import filesystem_service
from tests.panel.pages import assert_inert
from web.panel import Panel


def look(client: FlaskClient, path: Path | str | None = None) -> TestResponse:
    return client.get(f"/browse?{urlencode({'path': str(path)})}" if path else "/browse")


def marked(answer: TestResponse, name: str) -> list[str]:
    """The values of an attribute on the page, in its order."""
    return re.findall(rf'{name}="([^"]*)"', answer.get_data(as_text=True))


def test_it_begins_with_the_roots(client: FlaskClient, rushes: Path, panel_settings: Settings) -> None:
    answer = look(client)
    assert answer.status_code == 200
    assert marked(answer, "data-open") == ["", str(rushes)]
    assert "not there just now" not in answer.text
    assert marked(answer, "data-choose") == []
    Path(panel_settings.uploads_dir).mkdir(parents=True)
    rushes.rmdir()
    answer = look(client)
    assert marked(answer, "data-open") == ["", str(panel_settings.uploads_dir)]
    assert str(rushes) in answer.text and "not there just now" in answer.text


def test_a_later_part_of_an_archive_says_what_it_is_a_part_of(client: FlaskClient, rushes: Path) -> None:
    for name in ("day.7z.001", "day.7z.002", "night.zip", "night.z01"):
        (rushes / name).touch()
    answer = look(client, rushes)
    assert marked(answer, "data-choose") == [str(rushes), str(rushes / "day.7z.001"), str(rushes / "night.zip")]
    assert "a part of day.7z" in answer.text and "a part of night.zip" in answer.text


def test_a_folder_shows_what_can_be_opened_and_what_can_be_taken(client: FlaskClient, rushes: Path) -> None:
    (rushes / "day 1").mkdir()
    for name in ("b.zip", "clip 10.mp4", "clip 2.mp4", "notes.txt", ".hidden.mp4"):
        (rushes / name).write_bytes(b"x" * 1500)
    answer = look(client, rushes)
    assert marked(answer, "data-open") == ["", str(rushes), str(rushes / "day 1")]
    taken = [rushes, rushes / "day 1", rushes / "b.zip", rushes / "clip 2.mp4", rushes / "clip 10.mp4"]
    assert marked(answer, "data-choose") == [str(path) for path in taken]
    assert "notes.txt" in answer.text and "1.5\u00a0kB" in answer.text and ".hidden.mp4" not in answer.text


def test_an_empty_folder_says_so(client: FlaskClient, rushes: Path) -> None:
    assert "nothing here that can be shown" in look(client, rushes).text


@pytest.mark.parametrize("path", ["/", "/etc", "{root}/..", "{root}/../data_dir", "relative", "~root", "{root}/x\0y"])
def test_elsewhere_is_refused_with_what_is_allowed(client: FlaskClient, rushes: Path, path: str) -> None:
    answer = look(client, path.format(root=rushes))
    assert answer.status_code in {400, 404}
    assert "path_not_allowed" in answer.text or "no_such_path" in answer.text
    assert marked(answer, "data-open") == ["", str(rushes)]


def test_a_name_is_shown_as_the_text_it_is(client: FlaskClient, rushes: Path) -> None:
    name = '"><script>alert(1)<&amp; {{ 7*7 }}.mp4'
    (rushes / name).touch()
    answer = look(client, rushes)
    assert "<script>" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;&amp;amp; {{ 7*7 }}.mp4" in answer.text


def test_a_name_that_is_no_utf8_does_not_break_the_page(client: FlaskClient, rushes: Path) -> None:
    (rushes / os.fsdecode(b"caf\xe9.mp4")).touch()
    answer = look(client, rushes)
    assert answer.status_code == 200 and "caf?.mp4" in answer.text and "rename it" in answer.text
    assert marked(answer, "data-choose") == [str(rushes)]


def test_a_folder_too_long_to_show_says_how_much_there_is(
    client: FlaskClient, rushes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem_service, "MOST_ENTRIES", 3)
    for number in range(7):
        (rushes / f"{number}.mp4").touch()
    answer = look(client, rushes)
    assert len(marked(answer, "data-choose")) == 4
    assert "7 entries; the first 3" in answer.text


def test_only_those_who_may_run_things_look_around(anonymous: FlaskClient, opened: Panel) -> None:
    assert anonymous.get("/browse").status_code == 302
    for scope, status in (("read", 403), ("run", 200)):
        token = opened.accounts.create_token(scope, [scope])
        assert anonymous.get("/browse", headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_the_launch_form_offers_both_ways_to_bring_inputs(client: FlaskClient) -> None:
    page = client.get("/workflow").text
    for needed in ("chosen-inputs", "input-chip", "browse-open", "browse-dialog", "drop-zone", "upload-row"):
        assert page.count(f'id="{needed}"') == 1
    assert_inert(page)
