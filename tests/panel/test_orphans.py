"""A run whose supervisor was killed: whatever page is opened, or open, it does not say that the run goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from services.executions import Execution, Store
from services.processes import identity
from tests.panel.made_runs import BigRun
from tests.panel.pages import Watching, text_of


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.survival.SETTLE_SECONDS", 0.0)


@pytest.fixture
def supervisor() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def run(store: Store, supervisor: subprocess.Popen[bytes]) -> Execution:
    made = BigRun(2, status="running")
    made.run.owner = identity(supervisor.pid)
    return made.save(store).run


@pytest.mark.parametrize(
    "path",
    [
        "/", "/executions", "/executions/{}", "/executions/{}/videos", "/workflow", "/workflow?run={}",
        "/api/v1/executions/{}", "/api/v1/executions/{}/status", "/api/v1/executions/{}/history",
    ],
)  # fmt: skip
def test_no_page_says_that_it_goes_on(
    client: FlaskClient, run: Execution, supervisor: subprocess.Popen[bytes], path: str
) -> None:
    supervisor.kill()
    supervisor.wait()
    page = text_of(client, path.format(run.id))
    assert ('"status":"interrupted"' if path.startswith("/api") else 'class="badge interrupted"') in page


@pytest.mark.parametrize(
    ("stream", "before", "after"),
    [("/live", "now", "last"), ("/executions/live", "run-{}", "run-{}"), ("/executions/{}/live/summary", "run-head", "run-head")],
)  # fmt: skip
def test_a_page_that_is_open_is_told(
    client: FlaskClient, run: Execution, supervisor: subprocess.Popen[bytes], stream: str, before: str, after: str
) -> None:
    watching = Watching(client, stream.format(run.id))
    watching.part(before.format(run.id), run.id)
    supervisor.kill()
    supervisor.wait()
    watching.part(after.format(run.id), 'class="badge interrupted"')


def test_who_follows_the_workflow_is_told(
    client: FlaskClient, run: Execution, supervisor: subprocess.Popen[bytes]
) -> None:
    watching = Watching(client, "/workflow/progress")
    assert watching.next("progress")["execution_id"] == run.id
    supervisor.kill()
    supervisor.wait()
    assert watching.next("complete")["status"] == "interrupted"
