"""The store of executions: the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import IntegrityError

from services.errors import ServiceError
from services.executions import Event, Execution, Store, new_id, utc_now
from services.history import Pace
from services.statuses import ENDED, EVENTS, STATUSES, TRANSITIONS, check_transition
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from tests.postgres import Place

pytest_plugins = ["tests.postgres"]

HOSTILE = [
    "/r/\udce9t\udce9.mp4",  # Latin-1 bytes, as Python reads them
    "/r/nul\0.mp4",
    "/r/back\\slash\\0000\\\\.mp4",
    "/r/'\"%_;--.mp4",
    "/r/日本\U0001f3ac\u2028\n\r\x7f.mp4",
    "\ud83d",
    "",
    "\\",
]


def at(second: float) -> str:
    """A time of the test's own clock."""
    return (datetime(2026, 1, 2, tzinfo=timezone.utc) + timedelta(seconds=second)).isoformat(timespec="microseconds")


def a_run(second: float = 0, **values: Any) -> Execution:
    chosen = values.pop("id", None) or new_id()
    return Execution(id=chosen, run_id=chosen, kind="run", queued_at=at(second), **values)


def a_step(run: Execution, number: int = 1, **values: Any) -> Execution:
    return Execution(
        id=new_id(), run_id=run.id, parent_execution_id=run.id, kind="step", number=number, queued_at=at(0), **values
    )


def a_task(parent: Execution, number: int, **values: Any) -> Execution:
    return Execution(
        id=new_id(),
        run_id=parent.run_id,
        parent_execution_id=parent.id,
        kind="task",
        number=number,
        queued_at=at(0),
        **values,
    )


def an_event(run: Execution, name: str = "warning", **data: Any) -> Event:
    return Event(run_id=run.id, execution_id=run.id, at=at(0), event=name, data=data)


def ids(executions: list[Execution]) -> list[str]:
    return [execution.id for execution in executions]


def test_ids_and_times_have_their_forms() -> None:
    assert re.fullmatch(r"exec_[0-9a-f]{12}", new_id())
    assert len({new_id() for _ in range(1000)}) == 1000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", utc_now())
    assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(utc_now())) < timedelta(seconds=10)


def test_an_execution_comes_back_as_it_was_saved(store: Store) -> None:
    run = a_run()
    step = a_step(run)
    full = a_task(
        step, 2, stage="track", step="STEP5", item_kind="video", subject="/p/a.mp4", project="/p", brought_by="b",
        status="failed", outcome="failed", done=0.1, total=1e12, unit="frames", message="m", attempt=3,
        started_at=at(1), ended_at=at(2), heartbeat_at=at(3), seconds=1.5,
        error={"code": "c", "message": "m", "remedy": "r"}, held={"code": "paused", "message": "m"}, priority=-5,
        owner={"host": "h", "pid": 2**40, "started": 1.25}, workers=[{"pid": 1}], requests_seen=2**40,
        plan={"tasks": [{"id": "é"}]}, parameters={"deep": {"list": [1, 2.5, None, True, "x"]}},
        artefacts=[{"path": "/p/x.json"}], metrics={"fps": 25.0}, log_path="/l/x.log",
    )  # fmt: skip
    store.save([full, step, run])  # in any order
    assert store.tree(run.id) == [run, step, full]
    assert store.get(full.id) == full
    unset = {f.name for f in fields(Execution) if not getattr(full, f.name) and f.name != "number"}
    assert not unset, "the test has forgotten a field"


def test_of_many_who_add_a_run_of_one_id_one_does(store: Store) -> None:
    run = a_run()
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: store.add(a_run(id=run.id), an_event(run, "run_queued")), range(16)))
    assert sorted(added) == [False] * 15 + [True]
    assert ids(store.runs()) == [run.id] and len(store.events_after(run.id, 0)) == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_file_may_be_called_comes_back_exactly(store: Store, text: str) -> None:
    run = a_run(subject=text, project=text, message=text, log_path=text, stage=text, parameters={text: [text]})
    run.error = {"code": "c", "message": text, "remedy": text}
    store.save([run], [an_event(run, text=text)])
    assert store.get(run.id) == run
    assert store.events_after(run.id, 0)[0].data == {"text": text}
    assert ids(store.runs(text=text or None)) == [run.id]


def test_saving_is_all_or_nothing(store: Store) -> None:
    run, stranger = a_run(), a_run()
    with pytest.raises(IntegrityError):
        store.save([run], [an_event(run), an_event(stranger)])
    assert store.runs() == []
    store.save([run], [an_event(run)])
    assert len(store.events_after(run.id, 0)) == 1


def test_saving_again_updates_but_never_moves_an_execution(store: Store) -> None:
    run = a_run()
    step = a_step(run)
    store.save([run, step])
    step.status, step.message, step.held, step.number = "running", "half", {"code": "paused"}, 77
    store.save([step])
    kept = store.get(step.id)
    assert (kept.status, kept.message, kept.held, kept.number) == ("running", "half", {"code": "paused"}, 1)
    step.held = None
    store.save([step])
    assert store.get(step.id).held is None
    assert len(store.tree(run.id)) == 2


@pytest.mark.parametrize("broken", [{"status": "done"}, {"kind": "video"}, {"parent_execution_id": None}])
def test_what_is_no_execution_is_refused(store: Store, broken: dict[str, Any]) -> None:
    run = a_run()
    step = a_step(run)
    for name, value in broken.items():
        setattr(step, name, value)
    with pytest.raises(IntegrityError):
        store.save([run, step])


def test_an_execution_is_found_by_what_is_enough_of_its_id(store: Store) -> None:
    first, second = a_run(1, id="exec_abc000000000"), a_run(2, id="exec_abd000000000")
    store.save([first, second])
    for text in ("exec_abc000000000", "abc000000000", "abc", "exec_abc", " ABC "):
        assert store.find(text).id == first.id
    assert store.find("last").id == second.id
    with pytest.raises(ServiceError) as ambiguous:
        store.find("ab")
    assert ambiguous.value.code == "ambiguous_id"
    assert first.id in ambiguous.value.message and second.id in ambiguous.value.message


@pytest.mark.parametrize(
    "text", ["", "abe", "exec_", "exec_abc0000000000", "%", "_", "xyz", "\0", "\udcff", "a' OR '1'='1", "last"]
)
def test_what_is_no_id_is_no_execution(store: Store, text: str) -> None:
    if text != "last":
        store.save([a_run(id="exec_abc000000000")])
    with pytest.raises(ServiceError) as missing:
        store.find(text)
    assert missing.value.code == "no_such_execution"
    str(missing.value).encode()
    with pytest.raises(ServiceError):
        store.get(text)


def test_a_run_is_found_by_any_part_of_it(store: Store) -> None:
    run, other = a_run(), a_run()
    step = a_step(run)
    task = a_task(step, 2)
    store.save([other, run, step, task])
    assert [store.run_of(part.id) for part in (run, step, task)] == [run] * 3
    with pytest.raises(ServiceError) as missing:
        store.run_of(new_id())
    assert missing.value.code == "no_such_execution"


def test_runs_are_paged_newest_first_whatever_is_added_meanwhile(store: Store) -> None:
    runs = [a_run(second // 3) for second in range(10)]  # three of them at the same moment
    store.save([*runs, a_step(runs[0])])
    expected = ids(sorted(runs, key=lambda run: (run.queued_at, run.id), reverse=True))
    seen: list[str] = []
    while page := store.runs(limit=4, before=seen[-1] if seen else None):
        seen += ids(page)
        store.save([a_run(100 + len(seen))])
    assert seen == expected
    with pytest.raises(ServiceError):
        store.runs(before=new_id())


def test_runs_are_chosen_by_status_and_by_text(store: Store) -> None:
    first = a_run(1, status="failed", parameters={"inputs": ['/r/"Été"_1.zip']})
    second = a_run(2, status="succeeded", plan={"objective": "Réduis et archive"})
    third = a_run(3, message="100% of /p\\x")
    store.save([first, second, third])
    assert ids(store.runs(status=["failed", "succeeded"])) == [second.id, first.id]
    assert store.runs(status=["cancelled"]) == []
    for text, found in [
        ('"Été"_1', first), ("réduis ET", second), ("Réduis ET", second), ("100%", third), ("/P\\x", third),
        ("%", third), (first.id[5:], first),
    ]:  # fmt: skip
        assert ids(store.runs(text=text)) == ([found.id] if found else [])


def test_a_tree_is_in_order_of_creation_and_of_one_run_only(store: Store) -> None:
    run, other = a_run(), a_run()
    step = a_step(run)
    tasks = [a_task(step, number) for number in range(2, 30)]
    store.save([run, other, a_step(other), step, *reversed(tasks)])
    assert ids(store.tree(run.id)) == [run.id, step.id, *ids(tasks)]
    assert store.tree(new_id()) == []


def test_only_the_last_attempt_counts(store: Store) -> None:
    run = a_run()
    step = a_step(run)
    store.save([run, step])
    rows = [
        ("shots", "/a", 1, "failed"), ("shots", "/a", 2, "failed"), ("shots", "/a", 3, "succeeded"),
        ("shots", "/b", 1, "failed"), ("shots", "/c", 1, "succeeded"),
        ("track", "/a", 1, "running"), ("check", "check", 2, "queued"), ("check", "check", 1, "failed"),
    ]  # fmt: skip
    store.save(
        a_task(step, number, stage=stage, subject=subject, attempt=attempt, status=status)
        for number, (stage, subject, attempt, status) in enumerate(rows, 2)
    )
    assert {(part.stage, part.status): part.count for part in store.figures(run.id)} == {
        ("shots", "succeeded"): 2, ("shots", "failed"): 1, ("track", "running"): 1, ("check", "queued"): 1,
    }  # fmt: skip
    assert store.figures(new_id()) == []


def test_events_are_read_on_from_where_a_reader_was(store: Store) -> None:
    run, other = a_run(), a_run()
    store.save([run, other], [an_event(run, "run_queued"), an_event(other), an_event(run, "run_started")])
    store.save([], [an_event(run, "task_started", number=number) for number in range(5)])
    everything = store.events_after(run.id, 0)
    assert [event.event for event in everything] == ["run_queued", "run_started", *["task_started"] * 5]
    assert [event.data.get("number") for event in everything[2:]] == [0, 1, 2, 3, 4]
    numbers = [event.id for event in everything]
    assert numbers == sorted(set(numbers))
    assert store.events_after(run.id, numbers[3], limit=2) == everything[4:6]
    assert store.events_after(run.id, 0, names=["run_started", "run_queued"]) == everything[:2]
    assert store.events_after(run.id, numbers[-1]) == []


def test_a_request_is_an_event_that_its_supervisor_finds(store: Store) -> None:
    run = a_run()
    store.save([run], [an_event(run) for _ in range(3)])
    number = store.request(run.id, "cancel", {"subject": "/r/\udce9.mp4"})
    store.save([], [an_event(run)])
    [asked] = store.events_after(run.id, 0, names=["requested"])
    assert (asked.id, asked.data) == (number, {"action": "cancel", "target": {"subject": "/r/\udce9.mp4"}})
    assert store.events_after(run.id, number, names=["requested"]) == []


def test_event_ids_are_never_used_again(store: Store) -> None:
    run = a_run(status="succeeded", ended_at=at(1))
    store.save([run], [an_event(run) for _ in range(5)])
    last = store.events_after(run.id, 0)[-1].id
    assert store.compact(at(2)) == 5
    assert store.request(run.id, "resume", {}) > last


def test_runs_are_claimed_by_priority_then_age_and_held_ones_are_passed_over(store: Store) -> None:
    old, young, urgent, held = a_run(1), a_run(2), a_run(9, priority=1), a_run(0, priority=5, held={"code": "paused"})
    store.save([old, young, urgent, held])
    me = {"host": "h", "pid": 1, "started": 2.5}
    for run in (young, old, held):
        assert not store.claim(run.id, me, 1)
    assert store.claim(urgent.id, me, 1)
    claimed = store.get(urgent.id)
    assert (claimed.status, claimed.owner) == ("running", me)
    assert claimed.started_at and claimed.started_at == claimed.heartbeat_at
    assert not store.claim(urgent.id, me, 9), "it runs already"
    assert not store.claim(old.id, me, 1), "no place is left"
    assert not store.claim(young.id, me, 2), "it is not its turn"
    assert store.change(urgent.id, {"running"}, held={"code": "disk_full"})
    assert store.claim(old.id, me, 1), "a run that is held takes no place"
    assert not store.claim(new_id(), me, 9)


def test_a_run_that_is_taken_up_again_keeps_when_it_first_began(store: Store) -> None:
    run = a_run(started_at=at(5))
    store.save([run])
    assert store.claim(run.id, {}, 1)
    assert store.get(run.id).started_at == at(5)


CLAIM = """
import sys
from pathlib import Path
from services.database import open_database
from services.executions import Store
data_dir, url, run_id = sys.argv[1:]
store = Store(open_database(Path(data_dir), url or None))
print("ready", flush=True)
for _ in sys.stdin:
    print(store.claim(run_id, {"run": run_id}, 3), flush=True)
"""


def test_processes_that_claim_at_the_same_moment_get_their_turns(store: Store, place: Place) -> None:
    runs = [a_run(second, priority=second // 4) for second in range(8)]  # the last four come first
    store.save(runs)
    command = [sys.executable, "-c", CLAIM, str(place.data_dir), place.url or ""]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*command, run.id], cwd=REPOSITORY, **pipes) for run in runs]
    try:
        assert [child.stdout.readline() for child in children if child.stdout] == ["ready\n"] * 8
        for rounds in itertools.count(1):
            for child in children:
                child.stdin.write("go\n")
                child.stdin.flush()
            answers = [child.stdout.readline().strip() for child in children if child.stdout]
            assert set(answers) <= {"True", "False"}
            running = ids(store.runs(status=["running"]))
            assert len(running) <= 3
            # Whoever got a place had nobody waiting before them.
            assert set(running) == set(ids(runs[4:7])[: len(running)])
            if len(running) == 3:
                break
            assert rounds < 4, "each round takes up at least the first in line"
    finally:
        for child in children:
            child.communicate(timeout=20)
    assert [store.get(run.id).owner for run in runs[4:7]] == [{"run": run.id} for run in runs[4:7]]


def test_only_one_of_many_changes_a_status(store: Store, place: Place) -> None:
    run = a_run()
    store.save([run])
    won: list[int] = []

    def cancel(number: int) -> None:
        with closing(place.open()) as database:
            if Store(database).change(run.id, {"queued"}, status="cancelled", message=str(number)):
                won.append(number)

    threads = [threading.Thread(target=cancel, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [store.get(run.id).message] == [str(number) for number in won]
    assert not store.change(new_id(), STATUSES, message="x")


def test_threads_share_a_store(store: Store) -> None:
    run = a_run()
    store.save([run])

    def speak(number: int) -> None:
        for _ in range(10):
            store.save([], [an_event(run, by=number)] * 2)
            store.events_after(run.id, 0)

    threads = [threading.Thread(target=speak, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    by = [event.data["by"] for event in store.events_after(run.id, 0)]
    assert sorted(by) == sorted([*range(8)] * 20)
    assert by[::2] == by[1::2], "what is saved together stands together"


def test_active_runs_are_those_queued_or_running(store: Store) -> None:
    runs = [a_run(second, status=status) for second, status in enumerate(STATUSES)]
    store.save([*runs, a_step(runs[0])])
    assert ids(store.active_runs()) == ids(runs[:2])


def test_costs_are_means_over_what_was_really_done_lately(store: Store) -> None:
    run = a_run()
    step = a_step(run)
    done = [("STEP2", 100, 1), ("STEP2", 4, 2), ("STEP2", 2, 3), ("STEP3", 0.5, 4)]
    tasks = [
        a_task(step, 2 + when, step=name, seconds=seconds, ended_at=at(when), outcome="done")
        for name, seconds, when in done
    ]
    tasks.append(a_task(step, 20, step="STEP2", seconds=50, ended_at=at(9), outcome="up_to_date"))
    tasks.append(a_task(step, 21, seconds=50, ended_at=at(9), outcome="done"))  # a command
    store.save([run, step, *tasks])
    steps = ["STEP2", "STEP3", "STEP9"]
    assert store.mean_seconds(steps, limit=2) == {"STEP2": 3.0, "STEP3": 0.5}
    assert store.mean_seconds(steps)["STEP2"] == pytest.approx(106 / 3)


def test_paces_count_apart_what_was_done_on_items_of_known_size(store: Store) -> None:
    run = a_run()
    step = a_step(run)
    sizes = [{"item_bytes": 10, "frames": 5}, {"frames": 5}, {"item_bytes": 30}]
    tasks = [
        a_task(step, 2 + when, step="STEP2", seconds=2.0 + when, ended_at=at(when), outcome="done", metrics=metrics)
        for when, metrics in enumerate(sizes)
    ]
    failed = a_task(step, 9, step="STEP2", seconds=50, ended_at=at(9), outcome="failed", metrics=sizes[0])
    store.save([run, step, *tasks, failed])
    assert store.paces(["STEP2", "STEP9"]) == {
        "STEP2": Pace(tasks=3, seconds=9.0, sized=2, sized_seconds=6.0, bytes=40),
        "STEP9": Pace(tasks=0, seconds=0, sized=0, sized_seconds=0, bytes=0),
    }
    assert store.paces(["STEP2"], limit=1)["STEP2"] == Pace(tasks=1, seconds=4.0, sized=1, sized_seconds=4.0, bytes=30)


def test_compacting_keeps_only_how_old_runs_ended(store: Store) -> None:
    old = a_run(status="succeeded", ended_at=at(10))
    silent = a_run(status="failed", ended_at=at(10))
    young = a_run(status="succeeded", ended_at=at(20))
    reopened = a_run(status="running", ended_at=at(10))
    names = ["run_queued", "run_ended", "run_started", "task_ended", "run_ended"]
    for run in (old, young, reopened):
        store.save([run], [an_event(run, name, number=number) for number, name in enumerate(names)])
    store.save([silent], [an_event(silent) for _ in range(3)])
    assert store.compact(at(15)) == 4 + 3
    [kept] = store.events_after(old.id, 0)
    assert (kept.event, kept.data) == ("run_ended", {"number": 4})
    assert store.events_after(silent.id, 0) == []
    assert len(store.events_after(young.id, 0)) == len(store.events_after(reopened.id, 0)) == len(names)
    assert store.compact(at(15)) == 0


def test_statuses_follow_each_other_as_declared() -> None:
    assert set(TRANSITIONS) == {"run", "step", "task"}
    for table in TRANSITIONS.values():
        assert set(table) == set(STATUSES)
        assert set().union(*table.values()) <= set(STATUSES)
        assert not any(status in after for status, after in table.items())
        assert not any("running" in table[status] for status in ENDED), "what ended is queued before it runs again"
    assert {"succeeded", "failed", "skipped", "cancelled", "interrupted", "accepted"} == ENDED
    check_transition("run", "interrupted", "queued")
    check_transition("task", "failed", "accepted")
    for kind, before, after in [
        ("task", "succeeded", "queued"),
        ("task", "failed", "queued"),
        ("run", "queued", "queued"),
    ]:
        with pytest.raises(ValueError, match=f"a {kind} that is {before} cannot become {after}"):
            check_transition(kind, before, after)


def test_every_event_has_a_name_that_fits_and_a_meaning() -> None:
    assert all(re.fullmatch(r"[a-z_]{1,40}", name) for name in EVENTS)
    assert all(meaning.endswith(".") and "\n" not in meaning for meaning in EVENTS.values())
    assert {"run_ended", "requested"} <= set(EVENTS)
