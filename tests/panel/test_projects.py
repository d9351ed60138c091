"""A project's page, and the files that it and runs lead to: shown, played, given away, and never run."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timezone
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.settings import Settings
from services.results_archiver import Artefact, ResultsArchiver, Subject
from tests.panel.pages import text_of, words_of

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def project(panel_settings: Settings) -> Path:
    """A project of two videos: one is done up to STEP3, the other failed there; delivered and archived."""
    folder = panel_settings.projects_dir / "day one"
    (folder / "docs").mkdir(parents=True)
    (folder / ".derush").mkdir()
    (folder / "docs" / "a.mp4").write_bytes(CONTENT)
    (folder / "docs" / "a_scenes.csv").write_text("No,Timecode In\n1,00:00:00.000\n")
    record(folder, "a", {"STEP2": [made("proxy", "docs/a.mp4")], "STEP3": [made("scenes_csv", "docs/a_scenes.csv")]})
    error = {"code": "decode_failed", "message": "Frame <7> is damaged.", "remedy": "Ask for the file again."}
    record(folder, "b", {"STEP2": [made("proxy", "docs/b.mp4")]}, {"STEP3": error})
    delivery = panel_settings.output_dir / "day one"
    (delivery / ".derush").mkdir(parents=True)
    (delivery / "delivered.txt").write_text("delivered")
    files = {name: {"name": name} for name in ("delivered.txt", "../../etc/passwd")}
    marks = [
        {"video": "b<i>", "delivered": False, "missing": ["b_scenes.csv (STEP3)", "b_tracking.json (STEP6)"]},
        {"video": "c", "delivered": True, "missing": ["c_audio.json (STEP6)"]},
    ]
    known = {"schema": "derush.delivery/1", "files": files, "incomplete": marks}
    (delivery / ".derush" / "delivery.json").write_text(json.dumps(known))
    archiver = ResultsArchiver(panel_settings.archives_dir)
    subject = Subject("day one", "a", "ab" * 32, "a.mov")
    artefact = Artefact("scenes", folder / "docs" / "a_scenes.csv")
    archiver.archive(subject, [artefact], datetime(2026, 3, 1, tzinfo=timezone.utc))
    return folder


def made(kind: str, path: str) -> dict[str, Any]:
    return {"kind": kind, "path": path, "bytes": 1, "mtime_ns": 1, "sha256": "0" * 64}


def record(folder: Path, stem: str, steps: dict[str, list[dict[str, Any]]], failures: object = None) -> None:
    known = {name: {"artefacts": artefacts} for name, artefacts in steps.items()}
    content = {"schema": "derush.record/1", "steps": known, "failures": failures or {}}
    (folder / ".derush" / f"{stem}.json").write_text(json.dumps(content))


def links(page: str) -> set[str]:
    return {unescape(link) for link in re.findall(r'href="(/artefacts/(?!file/)[^"]+)"', page)}


def test_a_project_tells_what_is_done_what_failed_and_where_everything_is(client: FlaskClient, project: Path) -> None:
    page = text_of(client, "/projects/day%20one")
    rows = re.findall(r'<tr id="video-\d".*?</tr>', page, re.DOTALL)
    said = [words_of(re.sub(r"<details.*?</details>", " ", row, flags=re.DOTALL)) for row in rows]
    assert [line.split() for line in said] == [
        ["a", "done", "done", *["–", "not", "done"] * 3], ["b", "done", "failed", *["–", "not", "done"] * 3],
    ]  # fmt: skip
    assert "Frame &lt;7&gt; is damaged." in page and "Ask for the file again." in page
    archived = f"/artefacts/archives/day%20one%202026-03-01_00-00-00/{'ab' * 32}/a_scenes.csv"
    assert links(page) == {
        "/artefacts/projects/day%20one/docs/a.mp4", "/artefacts/projects/day%20one/docs/a_scenes.csv",
        "/artefacts/output/day%20one/delivered.txt", archived,
    }  # fmt: skip
    assert "b.mp4" in page and "not there any more" in page
    assert "passwd" not in page
    assert "b&lt;i&gt; is held back, it lacks b_scenes.csv (STEP3), b_tracking.json (STEP6)" in page
    assert "c is delivered without c_audio.json (STEP6)" in page
    assert f"derush run &#39;{project}&#39;" in page
    for link in links(page):
        text_of(client, link)
    assert '<a href="/projects/day%20one">' in text_of(client, "/projects")


def test_a_project_that_was_moved_to_its_delivery_is_still_found(client: FlaskClient, project: Path) -> None:
    project.rename(project.with_name("elsewhere"))
    page = text_of(client, "/projects/day%20one")
    assert "Nothing is recorded of a video here" in page and "delivered.txt" in page


def test_a_project_whose_name_is_no_utf8_is_listed(client: FlaskClient, panel_settings: Settings) -> None:
    folder = panel_settings.projects_dir / os.fsdecode(b"caf\xe9 & co")
    (folder / ".derush").mkdir(parents=True)
    record(folder, "a", {"STEP2": []})
    for path in ("/", "/projects"):
        assert "caf\ufffd &amp; co</a>" in text_of(client, path)


@pytest.mark.parametrize("name", ["none", ".", "..", "%2e%2e", "..%2fday one", ".derush", "%00", "day one%2f", "%ff"])
def test_what_is_no_project_is_not_shown(client: FlaskClient, project: Path, name: str) -> None:
    assert client.get(f"/projects/{name}").status_code in {404, 308}


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "docs/../../../x", "docs/linked.csv", 7, None, "docs\0/a", "docs/caf\udce9.csv"]
)  # fmt: skip
def test_a_record_leads_nowhere_else(client: FlaskClient, project: Path, path: object) -> None:
    (project / "docs" / "linked.csv").symlink_to("/etc/passwd")
    (project / "docs" / "caf\udce9.csv").write_text("x")
    record(project, "a", {"STEP3": [{"kind": "<b>", "path": path}]})
    record(project, "b", {"STEP3": "no list"}, {"STEP4": "no error"})  # type: ignore[dict-item]
    page = text_of(client, "/projects/day%20one")
    assert not [link for link in links(page) if "/docs/" in link] and "<b>" not in page


@pytest.mark.parametrize(
    "content", ["", "[]", '{"steps": 3}', "{" * 9000, '{"steps": {"STEP3": null}, "failures": {"STEP3": []}}']
)
def test_a_damaged_record_breaks_nothing(client: FlaskClient, project: Path, content: str) -> None:
    (project / ".derush" / "a.json").write_text(content)
    (project / ".derush" / "b.json").unlink()
    text_of(client, "/projects/day%20one")
    text_of(client, "/projects")


# Files


def test_a_table_is_shown_and_what_it_holds_is_text(client: FlaskClient, project: Path) -> None:
    (project / "docs" / "a_scenes.csv").write_text("No,<script>alert(1)</script>\n1,=cmd()\n")
    page = text_of(client, "/artefacts/projects/day%20one/docs/a_scenes.csv")
    assert '<th scope="col">&lt;script&gt;' in page and "<td>=cmd()</td>" in page and "<script>alert" not in page


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("a.json", '{"fps": 25}', "&#34;fps&#34;: 25"), ("a.jsonl", '{"frame": 1}\n{"frame": 2}\n', "{&#34;frame&#34;: 2}"),
        ("a.html", "<script>alert(1)</script>", "This kind of file is not shown here"), ("a.csv", "", "The file is empty."),
        ("a.txt", "plain <b>", "plain &lt;b&gt;"), ("é à.txt", "x", "é à.txt"),
    ],
)  # fmt: skip
def test_the_beginning_of_a_file_is_shown(
    client: FlaskClient, project: Path, name: str, content: str, shown: str
) -> None:
    (project / "docs" / name).write_text(content)
    page = text_of(client, f"/artefacts/projects/day one/docs/{name}")
    assert shown in page and "<script>alert" not in page


def test_a_video_plays_and_is_given_in_ranges(client: FlaskClient, project: Path) -> None:
    address = "/artefacts/file/projects/day%20one/docs/a.mp4"
    assert f'<video controls preload="metadata" src="{address}"' in text_of(client, address.replace("/file", "", 1))
    whole = client.get(address)
    assert (whole.status_code, whole.mimetype, whole.data) == (200, "video/mp4", CONTENT)
    assert whole.headers["Accept-Ranges"] == "bytes" and whole.headers["Content-Length"] == str(len(CONTENT))
    assert whole.headers["Content-Disposition"].startswith("inline")
    for asked, start, end in (("bytes=100-199", 100, 200), ("bytes=-5", len(CONTENT) - 5, len(CONTENT)), ("bytes=10000-", 10_000, len(CONTENT))):  # fmt: skip
        part = client.get(address, headers={"Range": asked})
        assert (part.status_code, part.data) == (206, CONTENT[start:end])
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert client.get(address, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert client.get(address, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    (project / "docs" / "a.mp4").write_bytes(b"another")
    assert client.get(address, headers={"If-None-Match": whole.headers["ETag"]}).data == b"another"
    empty = project / "docs" / "a.mp4"
    empty.write_bytes(b"")
    assert (client.get(address).status_code, client.get(address).data) == (200, b"")


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.js", "a.xml", "a.pdf", "a", "a.csv", "a.mp4.htm"])
def test_what_could_run_is_only_ever_downloaded(client: FlaskClient, project: Path, name: str) -> None:
    (project / "docs" / name).write_text("<svg onload=alert(1)>")
    answer = client.get(f"/artefacts/file/projects/day%20one/docs/{name}")
    assert answer.mimetype == "application/octet-stream" and answer.headers["Content-Disposition"].startswith(
        "attachment"
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox;") and "script-src" not in policy and "default-src 'none'" in policy


def test_a_download_has_the_file_s_name(client: FlaskClient, project: Path) -> None:
    (project / "docs" / 'é "x"\\.mp4').write_bytes(b"x")
    answer = client.get('/artefacts/file/projects/day one/docs/é "x"\\.mp4?download=1')
    assert answer.status_code == 200 and answer.mimetype == "application/octet-stream"
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment;") and "filename*=UTF-8''%C3%A9%20%22x%22%5C.mp4" in disposition
    plain = client.get("/artefacts/file/projects/day one/docs/a.mp4?download=1")
    assert plain.headers["Content-Disposition"] == "attachment; filename=a.mp4"


@pytest.mark.parametrize(
    "path",
    [
        "projects/../data_dir/derush.sqlite3", "projects/%2e%2e/data_dir/derush.sqlite3", "projects/..%2fdata_dir%2fderush.sqlite3",
        "data/derush.sqlite3", "projects//etc/passwd", "projects/day one", "projects/day one/docs/", "projects/day one/docs/none.csv",
        "projects/day one/linked.csv", "projects/linked/derush.sqlite3", "projects/%00", "projects/day one/docs/%ff.csv",
        "projects/day one/docs/../../../data_dir/panel/session.key",
    ],
)  # fmt: skip
def test_no_other_file_is_given(client: FlaskClient, project: Path, panel_settings: Settings, path: str) -> None:
    (project / "linked.csv").symlink_to(panel_settings.data_dir / "panel" / "session.key")
    (panel_settings.projects_dir / "linked").symlink_to(panel_settings.data_dir)
    for address in (f"/artefacts/{path}", f"/artefacts/file/{path}"):
        answer = client.get(address, follow_redirects=True)
        assert answer.status_code == 404, address
        assert (
            b"SQLite" not in answer.data
            and (panel_settings.data_dir / "panel" / "session.key").read_bytes() not in answer.data
        )
