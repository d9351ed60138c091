"""Every listener gets every event once, in order, whatever the moment it came."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from services import broadcast as module
from services.broadcast import Broadcast
from services.errors import ServiceError
from services.executions import Event, Execution, Store, new_id, utc_now
from tests.conftest import wait_until


def a_run(store: Store) -> str:
    run_id = new_id()
    store.save([Execution(id=run_id, run_id=run_id, kind="run", queued_at=utc_now(), message="run")])
    return run_id


def say(store: Store, run_id: str, numbers: range) -> None:
    at = utc_now()
    store.save([], [Event(run_id=run_id, at=at, event="warning", data={"n": number}) for number in numbers])


def numbers_in(block: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb'"n":(\d+)', block)]


def collect(events: Iterator[bytes], until: int, found: list[int]) -> None:
    for block in events:
        found.extend(numbers_in(block))
        if found and found[-1] >= until:
            return


def test_what_was_and_what_comes_without_gap_or_double(store: Store) -> None:
    """Listeners come at any moment while a writer writes, and begin anywhere in what there is."""
    run_id, other = a_run(store), a_run(store)
    say(store, run_id, range(5_000))
    heard = Broadcast(store)
    found: list[list[int]] = []
    threads = []
    for first in range(5_000, 9_000, 40):
        if first % 400 == 0:
            own: list[int] = []
            found.append(own)
            threads.append(threading.Thread(target=collect, args=(heard.events(run_id, 0, patience=5), 8_999, own)))
            threads[-1].start()
        say(store, run_id, range(first, first + 40))
        say(store, other, range(3))
    for thread in threads:
        thread.join(30)
    assert len(found) == 10
    assert all(own == list(range(9_000)) for own in found)


def test_who_comes_back_misses_nothing(store: Store) -> None:
    run_id = a_run(store)
    say(store, run_id, range(10))
    heard = Broadcast(store)
    first = next(block for block in heard.events(run_id, 0) if block)
    ids = [int(found) for found in re.findall(rb"^id: (\d+)$", first, re.MULTILINE)]
    assert numbers_in(next(block for block in heard.events(run_id, ids[6]) if block)) == [7, 8, 9]


def test_a_listener_that_is_too_slow_reads_on_in_the_database(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    run_id = a_run(store)
    heard = Broadcast(store)
    slow, awake = heard.events(run_id, 0, patience=5), heard.events(run_id, 0, patience=5)
    say(store, run_id, range(1))
    assert numbers_in(next(slow)) == [0]
    own: list[int] = []
    collect(awake, 0, own)
    for number in range(1, 12):
        say(store, run_id, range(number, number + 1))
        collect(awake, number, own)  # each in a batch of its own
    late: list[int] = []
    collect(slow, 11, late)
    assert late == list(range(1, 12))


def looking() -> set[threading.Thread]:
    """The threads that look for events, of whatever panel a test of this process has made."""
    return {thread for thread in threading.enumerate() if thread.name == "broadcast"}


def test_nobody_listening_costs_nothing(store: Store) -> None:
    others = looking()
    run_id = a_run(store)
    heard = Broadcast(store)
    listener = heard.events(run_id, 0, patience=0.05)
    assert next(listener) == b""
    listener.close()
    wait_until(lambda: looking() <= others, what="the end of the look")
    say(store, run_id, range(1))
    again = heard.events(run_id, 0, patience=5)
    assert numbers_in(next(again)) == [0]
    again.close()


def test_who_could_not_begin_to_listen_is_not_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that cannot be read at this moment leaves no thread that looks for nobody."""

    def refuse() -> int:
        raise ServiceError("database_locked", "Locked.", "Wait.")

    others = looking()
    run_id = a_run(store)
    heard = Broadcast(store)
    with monkeypatch.context() as patch:
        patch.setattr(store, "newest_event_id", refuse)
        with pytest.raises(ServiceError):
            next(heard.events(run_id, 0))
    listener = heard.events(run_id, 0, patience=0.05)
    assert next(listener) == b""
    listener.close()
    wait_until(lambda: looking() <= others, what="the end of the look")


def test_a_status_is_worked_out_once_for_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = a_run(store)
    made: list[str] = []
    real = module.global_status

    def counted(asked: Store, execution_id: str):
        made.append(execution_id)
        return real(asked, execution_id)

    monkeypatch.setattr(module, "global_status", counted)
    heard = Broadcast(store)
    threads = [threading.Thread(target=heard.status, args=(run_id,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.count(run_id) == 1  # threads of other tests may still look at theirs
