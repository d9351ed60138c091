"""Who gets in, who stays out, and what is written down of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from flask import Flask
from flask.testing import FlaskClient

from config.settings import Settings
from services.errors import ServiceError
from tests.panel.conftest import PASSWORD, csrf
from tests.panel.pages import assert_inert
from web import create_app
from web.panel import Panel


def signed_in(client: FlaskClient) -> bool:
    return client.get("/password").status_code == 200


def test_nobody_gets_in_without_signing_in(anonymous: FlaskClient, app: Flask) -> None:
    """Every route but the public ones sends a browser to the form, and a program away."""
    public = {"/healthz", "/readyz", "/login"}
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.rule in public or rule.endpoint in {"static", "access.link"}:
            continue
        path = re.sub(r"<(?:\w+:)?\w+>", "1", rule.rule)
        answer = anonymous.get(path)
        if path.startswith("/api/"):
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="derush"'), path
        else:
            assert answer.status_code == 302 and answer.headers["Location"].startswith("/login"), path


def test_the_link_signs_in_once(app: Flask, opened: Panel) -> None:
    link = f"/link/{opened.accounts.new_link()}"
    first, second = app.test_client(), app.test_client()
    assert first.get(link).headers["Location"] == "/password"
    assert signed_in(first)
    assert second.get(link).status_code == 401
    assert not signed_in(second)


def test_a_new_link_ends_the_one_before(app: Flask, opened: Panel) -> None:
    earlier = opened.accounts.new_link()
    opened.accounts.new_link()
    assert app.test_client().get(f"/link/{earlier}").status_code == 401


def test_a_password_lets_in_and_a_new_one_ends_other_sessions(app: Flask, client: FlaskClient, opened: Panel) -> None:
    form = {"csrf_token": csrf(client), "password": PASSWORD, "again": PASSWORD}
    assert client.post("/password", data=form).status_code == 302
    assert signed_in(client)
    other = app.test_client()
    assert other.post("/login", data={"csrf_token": csrf(other, "/login"), "password": PASSWORD}).status_code == 302
    assert signed_in(other)
    changed = {"csrf_token": csrf(client), "present": PASSWORD, "password": PASSWORD[::-1], "again": PASSWORD[::-1]}
    assert client.post("/password", data=changed).status_code == 302
    assert signed_in(client) and not signed_in(other)
    assert not opened.accounts.check_password(PASSWORD)


@pytest.mark.parametrize(
    ("present", "password", "again"),
    [
        ("wrong", "long enough now", "long enough now"),
        (PASSWORD, "short", "short"),
        (PASSWORD, "one of two", "two of two"),
    ],
)
def test_a_password_is_not_changed_by_mistake(
    client: FlaskClient, opened: Panel, present: str, password: str, again: str
) -> None:
    opened.accounts.set_password(PASSWORD)
    opened_again = client.application.test_client()
    opened_again.post("/login", data={"csrf_token": csrf(opened_again, "/login"), "password": PASSWORD})
    form = {"csrf_token": csrf(opened_again), "present": present, "password": password, "again": again}
    assert opened_again.post("/password", data=form).status_code == 400
    assert opened.accounts.check_password(PASSWORD)


def test_a_session_begins_anew_when_somebody_signs_in(anonymous: FlaskClient, opened: Panel) -> None:
    """What was planted in a session before is gone after (session fixation)."""
    opened.accounts.set_password(PASSWORD)
    with anonymous.session_transaction() as session:
        session["planted"] = "by somebody else"
    anonymous.post("/login", data={"csrf_token": csrf(anonymous, "/login"), "password": PASSWORD})
    with anonymous.session_transaction() as session:
        assert "planted" not in session
    assert signed_in(anonymous)


def test_a_session_of_another_key_is_none(
    anonymous: FlaskClient, panel_settings: Settings, client: FlaskClient
) -> None:
    cookie = client.get_cookie("derush")
    assert cookie
    other = create_app(panel_settings)
    assert other.config["SECRET_KEY"] == client.application.config["SECRET_KEY"]
    other.config["SECRET_KEY"] = b"x" * 32
    browser = other.test_client()
    browser.set_cookie("derush", cookie.value)
    assert not signed_in(browser)


def test_guessing_is_slowed_down_and_written_down(anonymous: FlaskClient, opened: Panel) -> None:
    opened.accounts.set_password(PASSWORD)
    token = csrf(anonymous, "/login")
    answers = [anonymous.post("/login", data={"csrf_token": token, "password": f"guess {n}"}) for n in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 8 + [429] * 4
    assert int(answers[-1].headers["Retry-After"]) <= 60
    assert anonymous.post("/login", data={"csrf_token": token, "password": PASSWORD}).status_code == 429
    said = [entry for entry in opened.accounts.audit_entries() if entry.action == "sign in"]
    assert len(said) == 8 and all(entry.outcome.startswith("refused") for entry in said)


@pytest.mark.parametrize("path", ["/password", "/logout", "/preferences", "/login"])
def test_a_form_of_another_site_is_refused(client: FlaskClient, path: str) -> None:
    assert client.post(path, data={"password": PASSWORD, "again": PASSWORD}).status_code == 400
    assert client.post(path, data={"csrf_token": "made up"}).status_code == 400
    assert signed_in(client)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8770", ""])
def test_other_names_of_the_server_are_refused(anonymous: FlaskClient, host: str) -> None:
    assert anonymous.get("/login", headers={"Host": host}).status_code == 400


def test_further_names_are_a_setting(panel_settings: Settings) -> None:
    app = create_app(replace(panel_settings, panel_hosts=("derush.studio.lan",)))
    assert app.test_client().get("/login", headers={"Host": "derush.studio.lan:8770"}).status_code == 200


def test_nothing_of_another_server_and_no_script_in_a_page(client: FlaskClient, anonymous: FlaskClient) -> None:
    for answer in (client.get("/password"), anonymous.get("/login"), anonymous.get("/static/derush.css")):
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert (
            policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
        )
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    page = client.get("/password").get_data(as_text=True)
    assert_inert(page)


def test_the_cookie_of_a_session_is_out_of_reach_of_scripts_and_other_sites(app: Flask, opened: Panel) -> None:
    answer = app.test_client().get(f"/link/{opened.accounts.new_link()}")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


def bearer(word: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {word}"}


def test_a_token_may_what_its_scope_holds(anonymous: FlaskClient, opened: Panel) -> None:
    read = opened.accounts.create_token("looker", ["read"])
    admin = opened.accounts.create_token("keeper", ["admin"])
    assert anonymous.get("/metrics", headers=bearer(read)).status_code == 200
    form = {"password": PASSWORD, "again": PASSWORD}
    assert anonymous.post("/password", data=form, headers=bearer(read)).status_code == 403
    assert not opened.accounts.has_password
    assert anonymous.post("/password", data=form, headers=bearer(admin)).status_code == 302
    assert opened.accounts.has_password
    assert [entry.who for entry in opened.accounts.audit_entries()] == ["token keeper", "token looker"]


def test_a_token_ends(anonymous: FlaskClient, opened: Panel) -> None:
    word = opened.accounts.create_token("short", ["read"])
    (token,) = opened.accounts.tokens()
    assert anonymous.get("/metrics", headers=bearer(word)).status_code == 200
    assert opened.accounts.tokens()[0].last_used_at
    opened.accounts.revoke_token(token.id)
    assert anonymous.get("/metrics", headers=bearer(word)).status_code == 401
    for wrong in ("", word[:-1], "derush_\udcff", "x" * 10_000):
        assert opened.accounts.token_of(wrong) is None


def test_a_token_is_over_at_its_time(opened: Panel) -> None:
    soon = datetime.now(timezone.utc) + timedelta(milliseconds=300)
    word = opened.accounts.create_token("for a moment", ["read"], soon.isoformat())
    assert opened.accounts.token_of(word)
    while datetime.now(timezone.utc) <= soon:
        pass
    assert opened.accounts.token_of(word) is None


@pytest.mark.parametrize(
    ("name", "scopes", "expires"),
    [("", ["read"], None), ("x" * 101, ["read"], None), ("a", [], None), ("a", ["all"], None),
     ("a", ["read"], "tomorrow"), ("a", ["read"], "2020-01-01T00:00:00Z"), ("a", ["read"], "2099-01-01T00:00:00")],
)  # fmt: skip
def test_a_token_that_makes_no_sense_is_not_made(
    opened: Panel, name: str, scopes: list[str], expires: str | None
) -> None:
    with pytest.raises(ServiceError) as refused:
        opened.accounts.create_token(name, scopes, expires)
    assert refused.value.code == "bad_token" and refused.value.remedy
    assert opened.accounts.tokens() == []


def test_secrets_are_kept_as_hashes(opened: Panel, panel_settings: Settings) -> None:
    words = [opened.accounts.create_token("a", ["read"]), opened.accounts.new_link(), PASSWORD]
    opened.accounts.set_password(PASSWORD)
    kept = b"".join(path.read_bytes() for path in panel_settings.data_dir.rglob("*") if path.is_file())
    assert not any(word.encode() in kept for word in words)
    key = panel_settings.data_dir / "panel" / "session.key"
    assert key.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\nevil", "evil"])
def test_signing_in_leads_to_no_other_site(anonymous: FlaskClient, opened: Panel, target: str) -> None:
    opened.accounts.set_password(PASSWORD)
    form = {"csrf_token": csrf(anonymous, "/login"), "password": PASSWORD, "next": target}
    assert anonymous.post("/login", data=form).headers["Location"] == "/"


def test_the_page_speaks_the_reader_s_language(anonymous: FlaskClient) -> None:
    french = anonymous.get("/login", headers={"Accept-Language": "fr-FR,fr;q=0.9,en;q=0.5"}).get_data(as_text=True)
    assert '<html lang="fr"' in french
    form = {"csrf_token": csrf(anonymous, "/login"), "language": "en", "theme": "dark", "next": "/login"}
    assert anonymous.post("/preferences", data=form).headers["Location"] == "/login"
    chosen = anonymous.get("/login", headers={"Accept-Language": "fr"}).get_data(as_text=True)
    assert '<html lang="en" data-theme="dark"' in chosen


def test_the_audit_log_is_kept_for_a_time_only(opened: Panel) -> None:
    for name in ("old", "new"):
        opened.accounts.record("sign in", name, "127.0.0.1")
    between = opened.accounts.audit_entries()[0].at
    assert opened.accounts.forget_audit(between) == 1
    assert [entry.who for entry in opened.accounts.audit_entries()] == ["new"]
