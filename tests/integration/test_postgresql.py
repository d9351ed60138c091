"""Whole runs with their history in a PostgreSQL server: the same command line, the same survival."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import Any

import psycopg

from tests.conftest import wait_until
from tests.integration.miniature import Miniature
from tests.postgres import Server

pytest_plugins = ["tests.postgres"]


def asked(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()  # type: ignore[call-overload, no-any-return]


def test_a_killed_run_is_resumed_from_its_history_on_a_server(miniature: Miniature, postgres: Server) -> None:
    url = postgres.new_database()
    archive = str(miniature.archive("p", "a", "slow-STEP4-b"))
    process = miniature.start("run", "--json", archive, DATABASE_URL=url)
    wait_until((miniature.folder / "children").exists, 30, "the slow one at work")
    done = "SELECT count(*) FROM executions WHERE step = 'STEP6' AND status = 'succeeded'"
    wait_until(lambda: asked(url, done) == [(1,)], 30, "the other one recorded as done")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    seen = json.loads(miniature.derush("status", "--json", DATABASE_URL=url).stdout)
    assert seen["status"] == "interrupted"
    before = miniature.counts()
    resumed = miniature.start("resume", "--json", DATABASE_URL=url)
    wait_until(lambda: miniature.counts()["STEP4 slow-STEP4-b begin"] == 2, 30, "the slow one at work again")
    assert miniature.derush("cancel", "--video", "slow-STEP4-b", DATABASE_URL=url).returncode == 0
    out, err = resumed.communicate(timeout=60)
    assert json.loads(out)["status"] == "succeeded", err
    begun_again = miniature.counts() - before
    assert begun_again == Counter({line: 1 for line in ("STEP4 slow-STEP4-b begin", "STEP7 p begin", "STEP7 p end")})
    assert asked(url, "SELECT status FROM executions WHERE kind = 'run'") == [("succeeded",)]
    assert not (miniature.folder / "data").exists(), "nothing is kept beside the server"


def test_a_server_that_is_not_there_is_named_without_its_password(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "a"))
    nowhere = "postgresql://someone:secret@127.0.0.1:1/derush"
    refused = miniature.derush("run", archive, DATABASE_URL=nowhere)
    assert refused.returncode == 3
    assert "no_database" in refused.stderr and "secret" not in refused.stderr + refused.stdout
    assert not miniature.counts()
