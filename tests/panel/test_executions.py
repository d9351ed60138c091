"""The pages of runs: the list, what a run is at, its videos, its timeline, its files, and what can be asked of it."""

from __future__ import annotations

import re
import shlex
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from config.settings import Settings
from services.executions import Event, Store, utc_now
from services.options import Options
from services.processes import identity
from services.run_commands import run_command
from tests.panel.made_runs import BEGAN, BigRun, make_run, moment, save_many
from tests.panel.pages import Watching, assert_inert, buttons, matrix_rows, text_of, words_of
from web import sse
from web.executions.listing import PAGE

QUICK = 0.1
"""Seconds of work that a page may take."""


def run_ids(page: str) -> list[str]:
    return re.findall(r'id="run-(exec_[0-9a-f]{12})"', page)


# The list


def test_the_list_is_read_page_by_page_and_tells_every_run_once(client: FlaskClient, store: Store) -> None:
    made = save_many(store, PAGE * 2 + 30)
    address, found, pages = "/executions", [], 0
    while address:
        page = text_of(client, address)
        found += run_ids(page)
        older = re.search(r'<a href="([^"]+)">Older runs', page)
        address, pages = unescape(older[1]) if older else "", pages + 1
    assert found == [run.id for run in reversed(made)] and pages == 3


def test_a_further_page_brings_only_its_rows(client: FlaskClient, store: Store) -> None:
    made = save_many(store, PAGE + 5)
    before = made[5].id
    further = text_of(client, f"/executions?before={before}", headers={"HX-Request": "true", "HX-Target": "older"})
    assert "<html" not in further and run_ids(further) == [run.id for run in reversed(made[:5])]
    assert "<html" in text_of(client, f"/executions?before={before}", headers={"HX-Request": "true"})


def test_the_list_is_filtered_and_searched_and_keeps_that_from_page_to_page(client: FlaskClient, store: Store) -> None:
    made = save_many(store, PAGE * 11)
    failed = [run.id for run in reversed(made) if run.status == "failed"]
    page = text_of(client, "/executions?status=failed")
    assert run_ids(page) == failed[:PAGE] and '<option value="failed" selected' in page
    older = re.search(r'<a href="([^"]+)">Older runs', page)
    assert older and run_ids(text_of(client, unescape(older[1]))) == failed[PAGE:]
    assert run_ids(text_of(client, "/executions?text=DAY+1099.zip")) == [made[1099].id]
    assert run_ids(text_of(client, f"/executions?text={made[7].id}")) == [made[7].id]
    assert "No run is like that." in text_of(client, "/executions?text=%25&status=failed")


@pytest.mark.parametrize(
    ("query", "status"), [("status=all", 400), ("before=exec_000000000000", 404), ("before=%00", 404), ("text=%ff%00", 200)]
)  # fmt: skip
def test_a_list_that_makes_no_sense_is_refused_with_a_remedy(client: FlaskClient, query: str, status: int) -> None:
    page = text_of(client, f"/executions?{query}", status)
    assert status == 200 or "Use one of" in page or "derush history" in page


def test_a_row_tells_state_time_progress_and_counts(client: FlaskClient, store: Store) -> None:
    run = make_run("interrupted", 0.0, "night <b>.zip", metrics={"counts": {"done": 2, "up_to_date": 1, "failed": 4}})
    held = make_run("running", 60.0, held={"code": "paused", "message": "Paused."}, owner=identity())
    store.save([run, held])
    page = text_of(client, "/executions")
    row = page.partition(f'id="run-{run.id}"')[2].partition('role="row"')[0]
    said = words_of(row)
    assert "full: night <b>.zip" in said and "interrupted" in said and "1 min 00 s" in said and "42 %" in said
    assert "failed 4" in said and "done 3" in said
    assert "paused" in page.partition(f'id="run-{held.id}"')[2].partition('role="row"')[0]


def test_a_page_of_ten_thousand_runs_is_quick(client: FlaskClient, store: Store) -> None:
    made = save_many(store, 10_000)
    for path in ("/executions", f"/executions?before={made[5000].id}", "/executions?status=failed"):
        times = []
        for _ in range(9):
            began = time.thread_time()
            assert len(run_ids(text_of(client, path))) == PAGE
            times.append(time.thread_time() - began)
        assert statistics.median(times) < QUICK, path


# A run


@pytest.fixture
def big(store: Store) -> BigRun:
    """500 videos, 30 of which failed in STEP3, in two ways."""
    return BigRun(500, failing=30).save(store)


@pytest.fixture
def small(store: Store) -> BigRun:
    return BigRun(3, failing=2).save(store)


def test_the_beginning_of_an_id_leads_to_the_run(client: FlaskClient, store: Store) -> None:
    (run,) = save_many(store, 1)
    for text in (run.id.removeprefix("exec_"), run.id[:9]):
        answer = client.get(f"/executions/{text}")
        assert answer.status_code == 302 and answer.location == f"/executions/{run.id}"
    assert client.get(f"/executions/{run.id}").status_code == 200


def test_the_id_of_a_part_leads_to_its_run_with_that_part_open(client: FlaskClient, small: BigRun) -> None:
    failed = next(task for task in small.of("STEP3") if task.status == "failed")
    answer = client.get(f"/executions/{failed.id}")
    assert answer.headers["Location"] == f"/executions/{small.run.id}?part={failed.id}#part"
    page = text_of(client, answer.headers["Location"])
    part = page.partition('id="part"')[2].partition("</section>")[0]
    assert failed.id in part and "The stream cannot be decoded." in part and "Have the file delivered again." in part
    assert f"/executions/{failed.id}/retry" in buttons(part)
    step = small.steps["STEP3"]
    page = text_of(client, f"/executions/{small.run.id}?part={step.id}")
    part = page.partition('id="part"')[2].partition("</section>")[0]
    assert part.index("clip_0000.mp4") < part.index("clip_0002.mp4")  # what failed first
    assert "is-open" in page


@pytest.mark.parametrize("page", ["", "/videos", "/timeline", "/files", "/commands", "/live/summary", "/plan.yaml"])
@pytest.mark.parametrize("run_id", ["exec_000000000000", "..", "%00", "exec_%ff", "'--", "<script>"])
def test_a_run_that_is_not_there_is_said_to_be_missing(client: FlaskClient, run_id: str, page: str) -> None:
    answer = client.get(f"/executions/{run_id}{page}")
    assert answer.status_code in {404, 308} and "<script>" not in answer.get_data(as_text=True)


def test_a_part_of_another_run_is_not_shown(client: FlaskClient, small: BigRun, store: Store) -> None:
    other = BigRun(1).save(store)
    assert 'id="part"' not in text_of(client, f"/executions/{small.run.id}?part={other.tasks[0].id}")
    text_of(client, f"/executions/{small.run.id}?part=exec_000000000000", 404)


def test_failures_stand_on_top_by_error_with_what_to_do(client: FlaskClient, big: BigRun) -> None:
    page = text_of(client, f"/executions/{big.run.id}")
    assert page.index('id="errors"') < page.index('id="run-steps"')
    groups = re.findall(r'<article class="card failure".*?</article>', page, re.DOTALL)
    assert [len(set(re.findall(r"/executions/(exec_\w+)/retry\"", group))) for group in groups] == [15, 15]
    assert all("15 failed" in group for group in groups)
    assert {f"/executions/{big.run.id}/{action}?step=step3&code={code}" for action in ("retry", "accept")
            for code in ("decode_failed", "model_missing")} <= buttons(page)  # fmt: skip


def test_a_step_tells_its_figures_and_what_can_be_asked_of_it(client: FlaskClient, big: BigRun) -> None:
    page = text_of(client, f"/executions/{big.run.id}")
    step = page.partition("<strong>STEP3</strong>")[2].partition("<strong>STEP4</strong>")[0]
    assert "500 / 500" in step and "30 failed" in step
    third = big.steps["STEP3"].id
    assert buttons(step) == {
        f"/executions/{third}/retry", f"/executions/{third}/accept", f"/executions/{big.run.id}/retry?from=step3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "held", "offered"),
    [
        ("running", None, {"pause", "cancel"}), ("running", {"code": "paused", "message": "Paused."}, {"resume", "cancel"}),
        ("queued", None, {"pause", "cancel"}), ("interrupted", None, {"resume", "cancel"}), ("succeeded", None, set()),
        ("cancelled", None, set()),
    ],
)  # fmt: skip
def test_only_what_makes_sense_is_offered(
    client: FlaskClient, store: Store, status: str, held: dict[str, str] | None, offered: set[str]
) -> None:
    run = make_run(status, 0.0, held=held, owner=identity())
    store.save([run])
    page = text_of(client, f"/executions/{run.id}")
    assert {address.rpartition("/")[2] for address in buttons(page)} == offered
    if held:
        assert held["message"] in page


def test_why_a_run_waits_or_could_not_be_done_is_said(client: FlaskClient, store: Store) -> None:
    at_work = make_run("running", 0.0, "first.zip", owner=identity())
    queued = make_run("queued", 60.0, "second.zip", owner=identity(), priority=7)
    error = {"code": "no_model", "message": "A model is missing.", "remedy": "Fetch it."}
    failed = make_run("failed", 120.0, "third.zip", error=error)
    store.save([at_work, queued, failed])
    page = text_of(client, f"/executions/{queued.id}")
    assert "Waits for its turn" in page and f"/executions/{at_work.id}" in page and "priority 7" in page
    assert "A model is missing." in text_of(client, f"/executions/{failed.id}")


def test_a_task_tells_its_attempts_warnings_figures_files_and_log(
    client: FlaskClient, store: Store, panel_settings: Settings
) -> None:
    made = BigRun(1)
    log = panel_settings.logs_dir / "step3" / "run.log"
    log.parent.mkdir(parents=True)
    log.write_text("said\n")
    proxy = panel_settings.projects_dir / "day" / "docs" / "clip_0000.mp4"
    proxy.parent.mkdir(parents=True)
    proxy.write_bytes(b"proxy")
    (first,) = made.of("STEP3")
    first.status, first.error = "failed", {"code": "worker_died", "message": "It died.", "remedy": "Look at its log."}
    artefacts = [
        {"kind": "scenes", "path": str(proxy), "bytes": 5},
        {"kind": "gone", "path": "/etc/passwd", "bytes": 1},
    ]
    second = made.task("STEP3", "video", str(first.subject), 60.0, attempt=2, log_path=str(log), artefacts=artefacts,
                       metrics={"frames": 750})  # fmt: skip
    made.events.append(
        Event(run_id=made.run.id, execution_id=second.id, at=moment(61), event="warning",
              data={"step": "STEP3", "item": first.subject, "code": "odd", "message": "An odd <b>frame</b>."})
    )  # fmt: skip
    made.save(store)
    page = text_of(client, f"/executions/{made.run.id}?part={second.id}")
    part = page.partition('id="part"')[2].partition("</section>")[0]
    assert "worker_died" in part and "It died." in part and f"part={first.id}" in part
    assert "An odd &lt;b&gt;frame&lt;/b&gt;." in part and "750" in part and "/logs/step3/run.log" in part
    assert "/artefacts/projects/day/docs/clip_0000.mp4" in part
    assert "passwd" in part and "/artefacts/" not in part.partition("passwd")[2].partition("</li>")[0]
    assert f"derush show {second.id}" in part
    assert "An odd" in page.partition('id="warnings-title"')[2]


def test_nothing_in_a_page_runs_or_breaks_whatever_files_are_called(client: FlaskClient, store: Store) -> None:
    nasty = '"><script>alert(1)</script>\udce9\ud800.mp4'
    made = BigRun(0)
    error = {"code": "<i>", "message": f"Cannot read {nasty}", "remedy": "`rm`\udcff"}
    made.task("STEP3", "video", f"{made.project}/docs/{nasty}", 3.0, status="failed", error=error)
    made.run.message = f"full: {nasty}"
    made.save(store)
    run_id, task_id = made.run.id, made.of("STEP3")[0].id
    paths = (
        "/", "/workflow", "/executions", f"/executions/{run_id}?part={task_id}", f"/executions/{run_id}/videos?cell={task_id}.step3",
        f"/executions/{run_id}/videos?row={task_id}", f"/executions/{run_id}/timeline?step=step3", f"/executions/{run_id}/files",
        f"/executions/{run_id}/commands",
    )  # fmt: skip
    for path in paths:
        page = text_of(client, path)
        assert "<script>alert" not in page, path
        assert_inert(page)


# Videos


def test_five_hundred_videos_are_a_matrix(client: FlaskClient, big: BigRun) -> None:
    began = time.thread_time()
    page = text_of(client, f"/executions/{big.run.id}/videos")
    assert time.thread_time() - began < 10 * QUICK
    rows = matrix_rows(page)
    assert len(rows) == 501 and rows["day"] == ["s", "", "", "", "", "", "s"]
    assert rows["clip_0000.mov"] == ["", "s", "f", "s", "k", "k", ""]
    assert rows["clip_0499.mov"] == ["", "s", "s", "s", "s", "s", ""]
    assert len(page) < 700_000


@pytest.mark.parametrize(
    ("query", "count"), [("state=failed", 31), ("name=CLIP_000", 11), ("state=failed&name=_002", 11), ("name=x", 0), ("state=odd", 501)]
)  # fmt: skip
def test_the_matrix_is_filtered(client: FlaskClient, big: BigRun, query: str, count: int) -> None:
    page = text_of(client, f"/executions/{big.run.id}/videos?{query}")
    assert len(matrix_rows(page)) == count and ("No video is like that." in page) == (count == 0)


def test_failed_videos_come_first_when_asked_for(client: FlaskClient, store: Store) -> None:
    made = BigRun(5)
    made.of("STEP5")[3].status = "failed"
    made.save(store)
    page = text_of(client, f"/executions/{made.run.id}/videos?order=failed")
    assert list(matrix_rows(page))[:2] == ["day", "clip_0003.mov"]


def test_a_cell_opens_its_task_and_a_name_its_video(client: FlaskClient, small: BigRun) -> None:
    failed = next(task for task in small.of("STEP3") if task.status == "failed")
    row_id = next(task.id for task in small.of("STEP2") if task.id == failed.brought_by)
    address = f"/executions/{small.run.id}/videos"
    assert f'href="?cell={row_id}.step3"' in text_of(client, address)
    part = text_of(client, f"{address}?cell={row_id}.step3").partition('id="part"')[2]
    assert failed.id in part and "cannot be decoded" in part
    part = text_of(client, f"{address}?row={row_id}").partition('id="part"')[2].partition("</section>")[0]
    assert buttons(part) == {f"/executions/{small.run.id}/{action}?row={row_id}" for action in ("retry", "accept")}
    alone = text_of(client, f"{address}?cell={row_id}.step3", headers={"HX-Target": "part"})
    assert failed.id in alone and "<html" not in alone and "matrix-rows" not in alone
    for nothing in ("cell=exec_0.step3", f"cell={row_id}.step7", "cell=", "row=no"):
        assert re.search(r'id="part"[^>]* hidden', text_of(client, f"{address}?{nothing}"))


@pytest.fixture
def watch(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Watching]]:
    """Open streams that end with the test, as they do when a server closes."""
    closing, opened = threading.Event(), list[Watching]()
    monkeypatch.setattr(sse, "is_closing", closing.is_set)

    def begin(path: str) -> Watching:
        opened.append(Watching(client, path))
        return opened[-1]

    yield begin
    closing.set()
    for each in opened:
        each.join()


def test_cells_are_told_as_they_change_and_only_those(store: Store, watch: Callable[[str], Watching]) -> None:
    made = BigRun(20, status="running")
    made.run.owner = identity()
    made.save(store)
    page = watch(f"/executions/{made.run.id}/live/videos")
    first = page.next("cells")
    assert len(first["rows"]) == 21 and first["anew"] == []
    original, shots = made.of("STEP2")[4], made.of("STEP3")[4]
    assert first["rows"][original.id] == ",s,s,s,s,s,"
    shots.status = "failed"
    store.save([shots], [Event(run_id=made.run.id, execution_id=shots.id, at=utc_now(), event="task_ended")])
    assert page.next("cells")["rows"] == {original.id: ",s,f,s,s,s,"}
    new = made.task("STEP2", "original", f"{made.project}/late.mov", 3.0, status="queued", number=9999)
    store.save([new])
    assert page.next("cells")["rows"] == {new.id: ",q,,,,,"}


def test_the_head_and_the_list_follow_a_run(
    client: FlaskClient, store: Store, watch: Callable[[str], Watching]
) -> None:
    run = make_run("running", 0.0, owner=identity())
    store.save([run])
    live = re.search(r'data-live="([^"]+)"', text_of(client, "/executions"))
    assert live
    of_list, of_run = watch(unescape(live[1])), watch(f"/executions/{run.id}/live/summary")
    of_list.part(f"run-{run.id}", "running")
    of_run.part("run-actions", "Pause")
    newer = make_run("queued", 60.0, owner=identity())
    store.save([newer], [Event(run_id=newer.id, at=utc_now(), event="run_queued")])
    of_list.part("newer", "1 newer run")
    store.change(run.id, ["running"], status="failed", ended_at=utc_now())
    store.save([], [Event(run_id=run.id, at=utc_now(), event="run_ended")])
    of_list.part(f"run-{run.id}", "failed")
    of_run.part("run-head", "failed")


# Timeline, files, commands


def test_the_timeline_is_a_picture_and_a_table(client: FlaskClient, big: BigRun) -> None:
    page = text_of(client, f"/executions/{big.run.id}/timeline")
    bars = re.findall(r"<rect [^>]*>", page)
    assert 1000 < len(bars) <= 3502 and "style" not in page.partition("<svg")[2].partition("</svg>")[0]
    assert len(page) < 1_200_000
    table = page.partition("The same as a table")[2]
    assert len(re.findall(r"<tr><th scope=\"row\">STEP\d", table)) == 7
    open_step = text_of(client, f"/executions/{big.run.id}/timeline?step=step3&from=0&to=60")
    assert "clip_0000.mp4" in open_step and len(re.findall(r"<rect", open_step)) < 100
    third = big.of("STEP3")[0]
    assert f"part={third.id}" in open_step


@pytest.mark.parametrize(
    "query", ["from=nan&to=inf", "from=9e99&to=-9e99", "from=a&to=b", "step=none", "from=1", "step=%00"]
)
def test_a_timeline_that_makes_no_sense_is_that_of_the_run(client: FlaskClient, small: BigRun, query: str) -> None:
    assert "<rect" in text_of(client, f"/executions/{small.run.id}/timeline?{query}")


def test_files_of_a_run_are_listed_by_video_a_page_at_a_time(
    client: FlaskClient, store: Store, panel_settings: Settings
) -> None:
    project = panel_settings.projects_dir / "day"
    (project / "docs").mkdir(parents=True)
    made = BigRun(120, project=str(project))
    for task in made.of("STEP6"):
        path = Path(str(task.subject))
        path.write_bytes(b"proxy")
        task.artefacts = [{"kind": "proxy", "path": str(path), "bytes": 5}]
    made.of("STEP4")[0].outcome = "up_to_date"
    made.save(store)
    page = text_of(client, f"/executions/{made.run.id}/files")
    assert (
        len(re.findall(r'href="/artefacts/projects/day/docs/clip_\d+\.mp4"', page)) == 49
    )  # and the project's own row
    assert "1 task had nothing to do" in page
    further = unescape(re.search(r'href="([^"]+)">Further', page)[1])  # type: ignore[index]
    assert "clip_0060.mp4" in text_of(client, further)
    found = text_of(client, f"/executions/{made.run.id}/files?name=clip_0119")
    assert re.findall(r'href="/artefacts/projects/day/docs/(clip_\d+\.mp4)"', found) == ["clip_0119.mp4"]


def test_commands_are_quoted_for_a_shell(client: FlaskClient, store: Store) -> None:
    name = "l'été $(rm -rf ~).zip"
    run = make_run("running", 0.0, name, owner=identity(), priority=-3)
    run.parameters = Options(force=True, fail_fast=True, device="cpu", engine="yunet", if_busy="refuse").record()
    store.save([run])
    page = text_of(client, f"/executions/{run.id}/commands")
    commands = [shlex.split(unescape(text)) for text in re.findall(r"<code>(derush [^<]+)</code>", page)]
    assert commands[0] == ["derush", "run", f"/rushes/{name}", "--force", "--fail-fast", "--device", "cpu", "--engine", "yunet",
                           "--if-busy", "refuse", "--priority=-3"]  # fmt: skip
    assert ["derush", "status", run.id, "--watch"] in commands and ["derush", "pause", run.id] in commands
    assert ["derush", "retry", run.id, "--from", "STEP5"] in commands


def test_a_plan_of_its_own_is_given_as_a_file(client: FlaskClient, store: Store) -> None:
    run = make_run("succeeded", 0.0)
    assert run.plan and run_command(run) == ("derush run /rushes/day.zip", False)
    run.plan["sequential_tasks"][0]["optional"] = True
    store.save([run])
    page = text_of(client, f"/executions/{run.id}/commands")
    assert "derush run --plan plan.yaml" in page and f"/executions/{run.id}/plan.yaml" in page
    answer = client.get(f"/executions/{run.id}/plan.yaml")
    assert answer.headers["Content-Disposition"].startswith("attachment") and "optional: true" in answer.text


def test_a_made_run_is_as_the_store_takes_it(store: Store) -> None:
    """The runs of these tests stand for real ones: their tree holds together."""
    made = BigRun(4, failing=1).save(store)
    rows = store.tree(made.run.id)
    ids = {row.id for row in rows}
    assert len(rows) == 1 + 7 + 2 + 5 * 4 and all(row.parent_execution_id in ids for row in rows if row.kind != "run")
    assert BEGAN.isoformat(timespec="microseconds") == rows[1].queued_at
