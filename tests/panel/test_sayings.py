"""Errors and warnings in the reader's language: every code has a meaning, and pages give it before the English words."""

from __future__ import annotations

import html
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from config.settings import Settings
from services.errors import ServiceError
from services.executions import Event, Store
from tests.conftest import REPOSITORY
from tests.panel.codes import Codes, codes
from tests.panel.conftest import csrf
from tests.panel.made_runs import BigRun, moment
from web.sayings import meanings, saying

FRENCH = {"Accept-Language": "fr"}
UNDECODABLE = "La vidéo ne peut pas être décodée."
TRY_AGAIN = "si cela échoue, redemandez l’original."


@pytest.fixture(scope="module")
def given() -> Codes:
    return codes(REPOSITORY)


class TestCatalogue:
    def test_has_every_code_that_can_be_given(self, given: Codes) -> None:
        """Add what lacks to web/sayings.toml, then run scripts/translate.py."""
        assert {code: place for code, place in given.known.items() if code not in meanings()} == {}
        unknown = {made: place for made, place in given.patterns.items() if not _fitting(made)}
        assert unknown == {}

    def test_has_no_other_code(self, given: Codes) -> None:
        made = {code for pattern in given.patterns for code in _fitting(pattern)}
        assert meanings().keys() - given.known.keys() - made == set()

    def test_the_sources_are_read_whole(self, given: Codes) -> None:
        """One code of each way in which sources give one."""
        for code in (
            "decode_failed",  # ItemError("decode_failed", …)
            "no_cuda",  # another class of errors
            "file_exists",  # through a class's base
            "same_content",  # task.warning("same_content", …)
            "too_small",  # a record's constant, at the head of a tuple
            "stopped_at_failure",  # a constant, in a dict
            "check_failed",  # one of two
            "little_space",  # a keyword
            "short_windows_name",  # what a function returns
            "database_locked",  # a record's first field
            "encoder_not_here",  # beside a sentence that is somewhere else
        ):
            assert code in given.known
        assert {r"\w+_cannot_work", r"\w+_member"} <= given.patterns.keys()

    def test_says_what_happened_and_what_to_do_in_a_sentence_each(self) -> None:
        for code, (happened, to_do) in meanings().items():
            for text in (happened, to_do):
                assert re.fullmatch(r"[A-Z].{5,160}\.", text), (code, text)


def _fitting(pattern: str) -> list[str]:
    return [code for code in meanings() if re.fullmatch(pattern, code)]


class TestSaying:
    ERROR = ServiceError("disk_full", "/rushes has 3 MB left.", "Free 9 GB.")

    def test_stays_as_it_is_in_english(self, app: Flask) -> None:
        with app.test_request_context():
            said = saying(self.ERROR)
        assert (said.message, said.remedy, said.detail) == ("/rushes has 3 MB left.", "Free 9 GB.", "")

    def test_comes_before_the_english_words_in_french(self, app: Flask) -> None:
        with app.test_request_context(headers=FRENCH):
            said = saying(self.ERROR)
        assert (said.code, said.message) == ("disk_full", "Le disque est plein.")
        assert said.remedy.startswith("Libérez de la place")
        assert said.detail == '<small class="detail" lang="en">/rushes has 3 MB left. Free 9 GB.</small>'

    def test_a_code_without_meaning_stays_as_it_is(self, app: Flask) -> None:
        with app.test_request_context(headers=FRENCH):
            said = saying({"code": "of_a_plan", "message": "It is so.", "remedy": None})
        assert (said.code, said.message, said.remedy, said.detail) == ("of_a_plan", "It is so.", "", "")

    @pytest.mark.parametrize("error", [{}, {"code": ["disk_full"], "message": {"a": 1}}, {"code": None}])
    def test_takes_whatever_a_record_holds(self, app: Flask, error: dict[str, object]) -> None:
        with app.test_request_context(headers=FRENCH):
            assert saying(error).original == ""

    def test_what_was_said_is_no_markup(self, app: Flask) -> None:
        with app.test_request_context(headers=FRENCH):
            assert "&lt;b&gt;" in saying({"code": "bug", "message": "<b>", "remedy": ""}).detail


class TestPages:
    @pytest.fixture
    def big(self, store: Store, panel_settings: Settings) -> BigRun:
        big = BigRun(3, failing=1, project=str(panel_settings.projects_dir / "day"))
        task = big.of("STEP5")[1]
        data = {"step": "STEP5", "item": task.subject, "code": "damaged_frames", "message": "7 frames are damaged."}
        at = moment(9.0)
        big.events.append(Event(run_id=big.run.id, execution_id=task.id, at=at, event="warning", data=data))
        return big.save(store)

    def test_a_run_says_what_failed_in_the_readers_language(self, client: FlaskClient, big: BigRun) -> None:
        failed = next(task for task in big.tasks if task.status == "failed")
        for path in (f"/executions/{big.run.id}", f"/executions/{big.run.id}?part={failed.id}"):
            french, english = read(client, path, **FRENCH), read(client, path)
            assert UNDECODABLE in french and TRY_AGAIN in french
            assert "The stream cannot be decoded. Have the file delivered again." in details(french)
            assert UNDECODABLE not in english and "The stream cannot be decoded." in english and not details(english)

    def test_a_run_says_what_it_was_warned_of(self, client: FlaskClient, big: BigRun) -> None:
        page = read(client, f"/executions/{big.run.id}", **FRENCH)
        assert "Des images de la vidéo sont abîmées." in page and "7 frames are damaged." in details(page)

    def test_an_opened_video_says_why_it_failed(self, client: FlaskClient, big: BigRun) -> None:
        row = re.search(
            r'<tr id="([^"]+)">(?:(?!</tr>).)*class="cell f', read(client, f"/executions/{big.run.id}/videos")
        )
        assert row
        page = read(client, f"/executions/{big.run.id}/videos?row={row[1]}", **FRENCH)
        assert UNDECODABLE in page and "The stream cannot be decoded." in "".join(details(page))

    def test_what_is_refused_is_told_so_to_pages_and_scripts_and_in_english_to_programs(
        self, client: FlaskClient
    ) -> None:
        wanted = "Cette exécution n’existe pas."
        missing = "/executions/exec_000000000000"
        page = client.get(missing, headers=FRENCH)
        assert page.status_code == 404 and wanted in html.unescape(page.text) and details(html.unescape(page.text))
        part = client.get(missing, headers={**FRENCH, "HX-Request": "true"})
        assert wanted in html.unescape(part.text) and part.headers["HX-Retarget"] == "#messages"
        program = client.get(f"/api/v1{missing}", headers=FRENCH).get_json()["error"]
        assert program["message"] == "There is no execution 'exec_000000000000'." and "detail" not in program

    def test_a_refused_upload_is_told_so_to_the_browser_that_sent_it(self, client: FlaskClient) -> None:
        headers = {"Tus-Resumable": "1.0.0", "X-CSRFToken": csrf(client)}
        said = client.delete("/uploads/0", headers={**headers, **FRENCH}).get_json()["error"]
        assert said["message"].startswith("Cet envoi n’existe plus") and said["detail"].startswith(
            "There is no such upload"
        )
        assert "detail" not in client.delete("/uploads/0", headers=headers).get_json()["error"]


def read(client: FlaskClient, path: str, **headers: str) -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    return html.unescape(answer.text)


def details(page: str) -> list[str]:
    return re.findall(r'<small class="detail" lang="en">(.*?)</small>', page)
