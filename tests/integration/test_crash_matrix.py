"""`kill -9` of a worker, of the supervisor and of both, at each of the seven steps: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter

import pytest

from tests.conftest import is_alive, wait_until
from tests.integration.miniature import ALL_STEPS, Miniature

SEEDS = range(int(os.environ.get("CRASH_SEEDS", "1")))
VIDEOS = ("a", "b", "c")
EXPECTED = {
    "STEP1 p", "STEP7 p", *(f"{step_id} {video}" for step_id in ALL_STEPS[1:6] for video in VIDEOS),
}  # fmt: skip


def begins(miniature: Miniature) -> Counter[str]:
    return Counter({line.removesuffix(" begin"): n for line, n in miniature.counts().items() if line.endswith("begin")})


def ends(miniature: Miniature) -> Counter[str]:
    return Counter({line.removesuffix(" end"): n for line, n in miniature.counts().items() if line.endswith("end")})


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("victim", ["worker", "supervisor", "both"])
@pytest.mark.parametrize("step_id", ALL_STEPS)
def test_a_kill_at_any_moment_is_survived(miniature: Miniature, step_id: str, victim: str, seed: int) -> None:
    chance = random.Random(f"{step_id} {victim} {seed}")
    patient(miniature)
    process = miniature.start(
        "run", "--json", "--steps", "1-7", str(miniature.archive("p", *VIDEOS)), FAKE_SECONDS="0.06"
    )
    miniature.wait_for_begin(step_id)
    moment = chance.randint(1, 3) if step_id in ALL_STEPS[1:6] else 1
    wait_until(
        lambda: sum(n for name, n in begins(miniature).items() if name.startswith(step_id)) >= moment, 30, "the moment"
    )
    wait_for_a_while(miniature, chance)
    in_flight = len(miniature.processes())
    done_before = {name for name, number in ends(miniature).items() if number}
    victims = miniature.workers(step_id)[:1] if victim != "supervisor" else []
    victims += [process.pid] if victim != "worker" else []
    for pid in victims:
        kill(pid)
    out, _ = process.communicate(timeout=60)
    if victim == "worker":
        told = json.loads(out)
    else:
        resumed = miniature.derush("resume", "--json")
        assert resumed.stdout, resumed.stderr
        told = json.loads(resumed.stdout)
    assert told["exit_code"] == 0, told["failures"]
    assert set(ends(miniature)) == EXPECTED, "nothing is lost"
    again = {name: number for name, number in begins(miniature).items() if number > 1}
    assert len(again) <= in_flight and all(number == 2 for number in again.values())
    assert len(again.keys() & done_before) <= in_flight, "only what was at work that moment may be begun again"
    assert finished_twice(miniature) <= in_flight
    assert not list(miniature.projects.rglob("half")) and not list(miniature.projects.rglob("*.tmp"))
    for video in VIDEOS:
        assert (miniature.projects / "p" / "docs" / f"{video}_STEP6.txt").read_text() == f"STEP6 of {video}"
    wait_until(lambda: not miniature.processes(), 10, "every process gone")
    assert set(latest_statuses(miniature).values()) == {"succeeded"}
    assert miniature.status() == "succeeded"


def patient(miniature: Miniature) -> None:
    """Let no worker count as silent on a busy machine: here only kills may end one."""
    path = miniature.folder / "steps.toml"
    path.write_text(path.read_text().replace("stall_after = 1.5", "stall_after = 60"))


def wait_for_a_while(miniature: Miniature, chance: random.Random) -> None:
    """Let a random, small amount of work happen: counted in what the steps count, not in seconds."""
    target = sum(miniature.counts().values()) + chance.randint(0, 2)
    deadline_reached = [0]

    def enough() -> bool:
        deadline_reached[0] += 1
        return sum(miniature.counts().values()) >= target or deadline_reached[0] > 10

    wait_until(enough, 10, "some work")


def finished_twice(miniature: Miniature) -> int:
    return sum(number > 1 for number in ends(miniature).values())


def latest_statuses(miniature: Miniature) -> dict[str, str]:
    return {name: statuses[-1] for name, statuses in miniature.tasks().items()}


def test_what_was_recorded_as_done_is_never_begun_again(miniature: Miniature) -> None:
    """The strict half of the matrix: the supervisor is killed when the store has the first three steps as done."""
    process = miniature.start(
        "run", "--json", str(miniature.archive("p", *VIDEOS, "slow-STEP4-d")), FAKE_SECONDS="0.02"
    )
    wait_until((miniature.folder / "children").exists, 30, "the slow one at work")

    def recorded() -> set[str]:
        return {name for name, statuses in miniature.tasks().items() if statuses[-1] == "succeeded"}

    wait_until(lambda: {f"STEP6 {video}" for video in VIDEOS} <= recorded(), 30, "the others recorded as done")
    done, before = recorded(), begins(miniature)
    kill(process.pid)
    process.communicate(timeout=30)
    again = miniature.start("resume", "--json")
    wait_until(lambda: begins(miniature)["STEP4 slow-STEP4-d"] == 2, 30, "the slow one at work again")
    orphan = int((miniature.folder / "children").read_text().split()[0])
    assert not is_alive(orphan), "what the dead supervisor's workers had started was ended first"
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=30)
    assert {name: begins(miniature)[name] for name in done} == {name: before[name] for name in done}
