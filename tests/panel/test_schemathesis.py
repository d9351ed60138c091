"""The API against its own document: whatever is sent, nothing breaks, and every answer is one that is declared.

Nothing is started by it: a run is recorded and its process is not, `derush` of maintenance is `true`, a preview is that of
nothing. What is really started is tested in test_real_launch.py.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from flask import Flask
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from config.contract import Exit
from services import launching
from services.accounts import Accounts
from services.background import Background
from services.errors import ServiceError
from services.inventory import Inventory
from services.maintenance import Maintenance
from services.models import Token
from services.responses import Preview
from tests.panel.conftest import served, settings_below
from tests.panel.made_runs import BigRun
from web import create_app
from web.api import runs
from web.system.base import PARTS, Parts

NOTHING = Preview(
    objective="nothing", inputs=(), left_out=(), steps=(), seconds=0, is_least=False, is_complete=True, places=(),
    failures=(), refusals=(),
)  # fmt: skip
ENDLESS = ["/api/v1/logs/follow"]
"""Streams that wait for what is still to happen: they have tests of their own."""
FUZZER = 2
REVOKE = Accounts.revoke_token
HOW = {
    "seed": 7,
    "generation": {"max-examples": 5, "database": "none"},
    "phases": {"stateful": {"enabled": False}},
    # What a path, a plan or words mean is found out later than their form: then 400 is right, too.
    "checks": {"positive_data_acceptance": {"enabled": False}},
    "operations": [{"include-path": "/api/v1/executions/{execution_id}/events", "parameters": {"query.follow": False}}],
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """A panel with a little of everything, which starts nothing."""
    folder = tmp_path_factory.mktemp("api")
    settings = settings_below(folder)
    made = create_app(settings)
    _fill(folder, made)
    made.extensions[PARTS] = Parts(
        Inventory(settings), Maintenance(settings, derush=["true"]), Background(list, "doctor")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "start_detached", lambda _run_id, _settings: os.getpid())
        patch.setattr(runs, "preview", lambda *_arguments: NOTHING)
        patch.setattr(Accounts, "revoke_token", _revoke_others)
        yield made


def _revoke_others(accounts: Accounts, token_id: int) -> Token:
    """Revoke a token, but for the one that asks: schemathesis finds its number in the list, and would be out."""
    if token_id == FUZZER:
        raise ServiceError("no_such_token", "Not this one.", "Take another.", Exit.USAGE)
    return REVOKE(accounts, token_id)


def _fill(folder: Path, app: Flask) -> None:
    (folder / "rushes").mkdir()
    (folder / "rushes" / "d\udce9j\udce0 vu.mp4").touch()  # a name that is no UTF-8
    (folder / "logs_dir" / "step3").mkdir(parents=True)
    (folder / "logs_dir" / "step3" / "a.log").write_bytes(
        b"2026-03-01 INFO begun\n2026-03-01 ERROR \xff\x1b[31mred\n" * 50
    )
    run = BigRun(3, failing=1, project=str(folder / "projects_dir" / "d\udce9j\udce0"))
    run.tasks[3].metrics = {"frames_per_second": float("nan")}
    run.save(app.extensions["derush"].store)
    app.extensions["derush"].accounts.create_token("looks only", ["read"])


@pytest.fixture(scope="module")
def address(app: Flask) -> Iterator[str]:
    with served(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def headers(app: Flask) -> dict[str, str]:
    return {"Authorization": f"Bearer {app.extensions['derush'].accounts.create_token('fuzzer', ['admin'])}"}


def test_every_answer_is_as_declared(address: str, headers: dict[str, str]) -> None:
    config = SchemathesisConfig.from_dict({**HOW, "headers": headers})
    document = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json", config=config, headers=headers)
    answers: dict[str, Counter[int]] = defaultdict(Counter)
    wrong = []
    for event in from_schema(document.exclude(path=ENDLESS)).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(str(event.info if isinstance(event, events.NonFatalError) else event.exception))
        if isinstance(event, events.ScenarioFinished):
            said = [it.response.status_code for it in event.recorder.interactions.values() if it.response]
            answers[str(event.label)].update(said)
            checks = [check for found in event.recorder.checks.values() for check in found]
            wrong += [f"{it.failure_info.failure} {it.failure_info.code_sample}" for it in checks if it.failure_info]
    assert not wrong, "\n\n".join(wrong[:5])
    declared = {f"{method.upper()} {path}" for path, item in document.raw_schema["paths"].items() for method in item}
    assert {label for label in answers if label in declared} == declared - {f"GET {path}" for path in ENDLESS}
