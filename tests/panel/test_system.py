"""The system pages over real jobs, real tokens and the real audit log."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config.catalog import environments, models
from config.settings import Settings, read_settings
from services.background import Background
from services.doctor import Check
from services.executions import Execution, Store, utc_now
from services.maintenance import MODELS, Maintenance
from services.processes import identity
from tests.conftest import wait_until
from tests.panel.conftest import csrf, sign_in
from tests.panel.pages import assert_inert, text_of, words_of
from web import create_app
from web.panel import Panel
from web.system.base import PARTS, Parts

PAGES = (
    "/system/",
    *(f"/system/{name}" for name in ("environments", "models", "doctor", "settings", "tokens", "audit")),
)
SECRET = "key-that-nobody-sees"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def panel_settings(panel_settings: Settings, tmp_path: Path) -> Settings:
    return replace(
        panel_settings, lemonfox_api_key=SECRET, models_dir=tmp_path / "models", venv_base_dir=tmp_path / "envs"
    )


@pytest.fixture
def go_on(tmp_path: Path) -> Path:
    """The file that the command of `parts` waits for."""
    return tmp_path / "go on"


@pytest.fixture
def parts(app: Flask, panel_settings: Settings, tmp_path: Path, go_on: Path) -> Parts:
    """The app's parts, with another command instead of `derush` and another doctor."""
    script = tmp_path / "command.py"
    script.write_text(
        "import os, sys, time\n"
        "print('asked', *sys.argv[1:], '<b>', flush=True)\n"
        f"for _ in range(3000):\n    if os.path.exists({str(go_on)!r}): break\n    time.sleep(0.02)\n"
    )
    found = [Check(HOSTILE, "good", "here"), Check("a disk", "missing", "nothing", "Mount it.")]
    known: Parts = app.extensions[PARTS]
    maintenance = Maintenance(panel_settings, [sys.executable, str(script)])
    changed = replace(known, maintenance=maintenance, doctor=Background(lambda: found, "test"))
    app.extensions[PARTS] = changed
    return changed


@pytest.fixture
def post(client: FlaskClient) -> Callable[..., TestResponse]:
    """Send a form of a page, as a browser without scripts does, or with `HX-Request` as one with them."""
    token = csrf(client)

    def send(url: str, headers: dict[str, str] | None = None, **fields: str) -> TestResponse:
        return client.post(url, data={"csrf_token": token, **fields}, headers=headers)

    return send


def fragments(answer: TestResponse) -> Iterator[dict[str, str]]:
    """The parts of a page that a stream sends; it is read as it comes."""
    for block in answer.iter_encoded():
        for line in block.decode().splitlines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_every_page_shows_and_none_has_a_secret_or_a_script(client: FlaskClient, parts: Parts) -> None:
    for url in PAGES:
        html = text_of(client, url)
        assert SECRET not in html, url
        assert_inert(html)
        assert html.count('aria-current="page"') == 2, "the page, and the tab"


def test_the_overview_tells_the_machine_and_what_is_missing(client: FlaskClient, parts: Parts) -> None:
    said = words_of(text_of(client, "/system/"))
    assert "Processor" in said and "Memory" in said and "CACHE_ROOT_DIR" in said
    assert f"{len(environments())} not built" in said and f"{len(models())} missing" in said
    with client.get("/system/live") as answer:
        assert answer.mimetype == "text/event-stream"
        stream = fragments(answer)
        assert {next(stream)["id"] for _ in range(2)} == {"machine", "summary"}


def test_an_environment_is_rebuilt_followed_and_not_twice(
    client: FlaskClient, post: Callable[..., TestResponse], parts: Parts, opened: Panel, go_on: Path
) -> None:
    begun = post("/system/environments/audio_env/rebuild", {"HX-Request": "true"})
    assert begun.status_code == 200 and "<html" not in begun.text and "running" in begun.text
    with client.get("/system/environments/live") as answer:
        output = next(
            it["html"] for it in fragments(answer) if it["id"] == "environment-audio_env" and "asked" in it["html"]
        )
    assert "asked envs rebuild audio_env &lt;b&gt;" in output
    again = post("/system/environments/audio_env/rebuild")
    assert again.status_code == 409 and "job_goes_on" in again.text
    assert re.search(r'id="rebuild-audio_env" disabled', text_of(client, "/system/environments"))
    go_on.touch()
    with client.get("/system/environments/live") as answer:
        next(it for it in fragments(answer) if it["id"] == "environment-audio_env" and "succeeded" in it["html"])
    said = [(it.action, it.target, it.outcome) for it in opened.accounts.audit_entries()]
    assert said[:2] == [
        ("rebuild environment", "audio_env", "refused: job_goes_on"),
        ("rebuild environment", "audio_env", "begun"),
    ]


def test_what_is_done_can_be_stopped(post: Callable[..., TestResponse], parts: Parts) -> None:
    assert post("/system/environments/audio_env/rebuild").status_code == 302
    assert post("/system/environments/audio_env/stop").headers["Location"] == "/system/environments"
    wait_until(lambda: _status(parts, "audio_env") == "cancelled", what="the end")
    wait_until(lambda: post("/system/environments/audio_env/stop").status_code == 404, what="nothing to stop")


def _status(parts: Parts, subject: str) -> str | None:
    state = parts.maintenance.state(subject)
    return state.status if state else None


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("env", 409, "home_environment"), ("nothing", 404, "no_such_environment"), ("..", 404, "no_such_environment")],
)
def test_what_cannot_be_rebuilt_is_refused_with_what_to_do(
    post: Callable[..., TestResponse], parts: Parts, name: str, status: int, code: str
) -> None:
    refused = post(f"/system/environments/{name}/rebuild", {"HX-Request": "true"})
    assert refused.status_code == status and code in refused.text
    assert refused.headers["HX-Retarget"] == "#messages"
    assert _status(parts, "audio_env") is None


def test_nothing_is_rebuilt_under_a_run(post: Callable[..., TestResponse], parts: Parts, store: Store) -> None:
    run = Execution(
        id="exec_0123456789ab", run_id="exec_0123456789ab", kind="run", queued_at=utc_now(), status="running",
        owner=identity(), heartbeat_at=utc_now(),
    )  # fmt: skip
    store.save([run], [])
    refused = post("/system/environments/audio_env/rebuild")
    assert refused.status_code == 409 and "runs_go_on" in refused.text and run.id in refused.text


def test_the_home_environment_has_no_button(client: FlaskClient, parts: Parts) -> None:
    html = text_of(client, "/system/environments")
    assert 'id="rebuild-env"' not in html and 'id="rebuild-audio_env"' in html


def test_models_are_verified_for_real(
    client: FlaskClient, post: Callable[..., TestResponse], monkeypatch: pytest.MonkeyPatch, panel_settings: Settings
) -> None:
    """The real command, in a process of its own, on a folder without models."""
    monkeypatch.setenv("MODELS_DIR", str(panel_settings.models_dir))
    assert post("/system/models/verify").status_code == 302
    with client.get("/system/models/live") as answer:
        shown = next(it["html"] for it in fragments(answer) if "exit code 3" in it["html"])
    assert all((f"{name}: missing" in words_of(shown)) != spec.optional for name, spec in models().items())


@pytest.mark.parametrize("name", ["", "yunet"])
def test_models_are_fetched_one_or_all(post: Callable[..., TestResponse], parts: Parts, go_on: Path, name: str) -> None:
    go_on.touch()
    assert post("/system/models/fetch", name=name).status_code == 302
    wait_until(lambda: _status(parts, MODELS) == "succeeded", what="the end")
    state = parts.maintenance.state(MODELS)
    assert state and state.command == f"derush models fetch {name}".strip()


def test_a_model_that_there_is_not_is_refused(post: Callable[..., TestResponse], parts: Parts) -> None:
    refused = post("/system/models/fetch", name=HOSTILE)
    assert refused.status_code == 404 and "no_such_model" in refused.text and HOSTILE not in refused.text


def test_the_doctor_looks_when_first_asked_and_again_when_told(
    client: FlaskClient, post: Callable[..., TestResponse], parts: Parts
) -> None:
    text_of(client, "/system/doctor")
    wait_until(lambda: parts.doctor.finding.at, what="what the doctor found")
    html = text_of(client, "/system/doctor")
    assert HOSTILE not in html and "Mount it." in html
    assert html.index("a disk") < html.index("&lt;script&gt;"), "what is wrong stands first"
    first = parts.doctor.finding.at
    assert post("/system/doctor").status_code == 302
    wait_until(lambda: parts.doctor.finding.at not in (None, first), what="what the doctor found anew")


def test_a_file_of_settings_that_is_wrong_by_now_is_told(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.env"
    file.write_text("STEP5_ENABLE_GPU=perhaps\n")
    monkeypatch.setenv("DERUSH_ENV_FILE", str(file))
    assert "STEP5_ENABLE_GPU=perhaps: accepted: true, 1, on" in words_of(text_of(client, "/system/settings"))


def test_a_token_is_shown_once_works_and_is_revoked(
    app: Flask, client: FlaskClient, post: Callable[..., TestResponse], opened: Panel
) -> None:
    made = post("/system/tokens", name=f" nightly {HOSTILE} ", scope="run", days="30")
    assert made.status_code == 200 and HOSTILE not in made.text
    word = re.search(r'id="new-token"[^>]*>([^<]+)<', made.text)
    assert word
    assert word[1] not in text_of(client, "/system/tokens")
    (token,) = opened.accounts.tokens()
    assert (token.name, token.scopes, token.expires_at is None) == (f"nightly {HOSTILE}", ["run"], False)
    program = app.test_client()
    header = {"Authorization": f"Bearer {word[1]}"}
    assert program.get("/system/models", headers=header).status_code == 200
    assert post(f"/system/tokens/{token.id}/revoke").status_code == 302
    assert program.get("/system/models", headers=header).status_code == 401
    assert "revoked" in text_of(client, "/system/tokens")
    assert word[1] not in repr(opened.accounts.audit_entries())


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "", "scope": "read", "days": "30"},
        {"name": "x" * 101, "scope": "read", "days": "30"},
        {"name": "x", "scope": "everything", "days": "30"},
        {"name": "x", "days": "30"},
        {"name": "x", "scope": "read", "days": "36500"},
        {"name": "x", "scope": "read", "days": "٣٠"},
        {"name": "x", "scope": "read"},
    ],
)
def test_a_token_that_was_not_offered_is_refused(
    post: Callable[..., TestResponse], opened: Panel, fields: dict[str, str]
) -> None:
    assert post("/system/tokens", **fields).status_code == 400
    assert opened.accounts.tokens() == []


@pytest.mark.parametrize("number", ["9", "0", str(2**31), str(2**70), "-1"])
def test_a_token_that_there_is_not_cannot_be_revoked(post: Callable[..., TestResponse], number: str) -> None:
    assert post(f"/system/tokens/{number}/revoke").status_code == 404


@pytest.mark.parametrize(
    ("scope", "seen", "done"),
    [("read", False, False), ("run", False, False), ("admin", True, True)],
)
def test_only_who_may_change_the_system_sees_its_keys_and_changes_it(
    app: Flask, opened: Panel, parts: Parts, scope: str, seen: bool, done: bool
) -> None:
    header = {"Authorization": f"Bearer {opened.accounts.create_token('a program', [scope])}"}
    program = app.test_client()
    for url in ("/system/tokens", "/system/audit"):
        assert (program.get(url, headers=header).status_code == 200) == seen, url
    rebuilt = program.post("/system/environments/audio_env/rebuild", headers=header)
    assert rebuilt.status_code == (302 if done else 403)
    assert (_status(parts, "audio_env") is not None) == done
    if done:
        parts.maintenance.stop("audio_env")


def test_nothing_changes_without_a_csrf_token(app: Flask, client: FlaskClient, parts: Parts, opened: Panel) -> None:
    urls = [
        re.sub(r"<[^>]*name>", "audio_env", re.sub(r"<int[^>]*>", "1", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("system.") and "POST" in (rule.methods or ())
    ]
    assert len(urls) == 8
    for url in urls:
        assert client.post(url, data={"name": "x", "scope": "read", "days": "30"}).status_code == 400, url
    assert opened.accounts.tokens() == []
    assert {_status(parts, subject) for subject in (*environments(), MODELS)} == {None}


def test_the_audit_log_is_read_page_by_page_and_searched(client: FlaskClient, opened: Panel) -> None:
    for number in range(230):
        opened.accounts.record("count", "somebody", "127.0.0.1", f"no {number:03d} {'100%' if number == 7 else ''}")
    seen: list[str] = []
    url: str | None = "/system/audit?text=count"
    while url:
        html = text_of(client, url)
        seen += re.findall(r"no (\d{3})", html)
        following = re.search(r'rel="next" href="([^"]+)"', html)
        url = unescape(following[1]) if following else None
    assert seen == [f"{number:03d}" for number in reversed(range(230))]
    found = text_of(client, "/system/audit?text=100%25")
    assert re.findall(r"no (\d{3})", found) == ["007"], "a % is a %"
    assert "Nothing was done that has this in it." in text_of(client, "/system/audit?text=nobody+ever")


@pytest.mark.parametrize("query", ["before=x", "before=-1", f"before={2**80}", "before=0", "text=%00", "text=%ff%fe"])
def test_the_audit_log_bears_any_question(client: FlaskClient, query: str) -> None:
    text_of(client, f"/system/audit?{query}")


def test_what_somebody_wrote_is_text_in_the_audit_log(client: FlaskClient, opened: Panel) -> None:
    opened.accounts.record("sign in", HOSTILE, "127.0.0.1", HOSTILE, "refused: wrong password")
    html = text_of(client, f"/system/audit?text={HOSTILE}")
    assert HOSTILE not in html and html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 2


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("PROJECTS_DIR", "LOGS_DIR", "DATA_DIR")}
    app = create_app(read_settings({**places, "LEMONFOX_BASE_URL": f"https://me:{SECRET}@speech.lan/v1"}))
    html = text_of(sign_in(app), "/system/settings")
    assert SECRET not in html and "https://***@speech.lan/v1" in html


def test_the_figures_of_the_machine_are_there_for_prometheus(client: FlaskClient, tmp_path: Path) -> None:
    text = text_of(client, "/metrics")
    figures = dict(re.findall(r'^(derush_\w+(?:\{place="\w+"\})?) (\S+)$', text, re.MULTILINE))
    assert 0 <= float(figures["derush_cpu_busy_ratio"]) <= 1
    assert 0 < float(figures["derush_memory_used_bytes"]) < float(figures["derush_memory_bytes"])
    assert float(figures['derush_disk_bytes{place="ARCHIVES_DIR"}']) == shutil.disk_usage(tmp_path).total
    assert float(figures['derush_disk_free_bytes{place="CACHE_ROOT_DIR"}']) > 0
