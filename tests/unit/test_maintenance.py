"""Jobs in processes of their own: started once per subject, followed, stopped, and known to whoever comes later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.catalog import models as declared_models
from config.settings import Settings, read_settings
from services.database import open_database
from services.environments import environments
from services.errors import ServiceError
from services.executions import Execution, Store, utc_now
from services.maintenance import MODELS, Job, JobState, Maintenance, fetch_models, rebuild, verify_models
from services.model_files import model_path, problem_of
from services.processes import identity
from tests.conftest import REPOSITORY, is_alive, missing, wait_until

COMMAND = """
import os, subprocess, sys, time
print("pid", os.getpid(), flush=True)
print("asked", *sys.argv[1:], flush=True)
if "child" in sys.argv:
    print("child", subprocess.Popen(["sleep", "600"]).pid, flush=True)
if "wait" in sys.argv:
    for _ in range(3000):
        if os.path.exists(sys.argv[-1]):
            break
        time.sleep(0.02)
sys.exit(5 if "fail" in sys.argv else 0)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"LOGS_DIR": str(tmp_path / "logs"), "DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """What is called instead of `derush`: it says what it was asked, and waits for a file if it is to."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    return [sys.executable, str(script)]


@pytest.fixture
def maintenance(settings: Settings, command: list[str]) -> Maintenance:
    return Maintenance(settings, command)


def state_of(maintenance: Maintenance, subject: str) -> JobState:
    state = maintenance.state(subject)
    assert state is not None
    return state


def ended(maintenance: Maintenance, subject: str) -> JobState:
    wait_until(lambda: not state_of(maintenance, subject).is_running, what=f"the end of the job on {subject}")
    return state_of(maintenance, subject)


def said(maintenance: Maintenance, subject: str, word: str) -> str:
    """What a job wrote after a word that begins a line, as soon as it has."""
    found: list[str] = []

    def look() -> list[str]:
        lines = maintenance.output(state_of(maintenance, subject)).splitlines(keepends=True)
        found[:] = [it[len(word) :].strip() for it in lines if it.startswith(f"{word} ") and it.endswith("\n")]
        return found

    wait_until(look, what=word)
    return found[0]


@pytest.mark.parametrize(("word", "status", "code"), [("well", "succeeded", 0), ("fail", "failed", 5)])
def test_a_job_ends_as_its_command_does(maintenance: Maintenance, word: str, status: str, code: int) -> None:
    assert maintenance.state("tracking_env") is None
    begun = maintenance.start(Job("tracking_env", (word,)))
    assert begun.command == f"derush {word}" and begun.log.parent.name == "system"
    state = ended(maintenance, "tracking_env")
    assert (state.status, state.exit_code) == (status, code)
    assert state.ended_at and state.ended_at > state.started_at
    assert f"asked {word}\n" in maintenance.output(state)


def test_one_job_at_a_time_on_a_subject_and_others_beside_it(maintenance: Maintenance, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    maintenance.start(Job("audio_env", ("wait", str(go_on))))
    with pytest.raises(ServiceError, match="audio_env already") as refused:
        maintenance.start(Job("audio_env", ("well",)))
    assert refused.value.code == "job_goes_on"
    maintenance.start(Job(MODELS, ("well",)))
    assert ended(maintenance, MODELS).status == "succeeded"
    assert state_of(maintenance, "audio_env").status == "running"
    go_on.touch()
    assert ended(maintenance, "audio_env").status == "succeeded"
    wait_until(lambda: _starts(maintenance, Job("audio_env", ("well",))), what="the next job on the same subject")
    assert ended(maintenance, "audio_env").command == "derush well"


def _starts(maintenance: Maintenance, job: Job) -> bool:
    """The one before has written its end a moment before it is gone."""
    try:
        maintenance.start(job)
    except ServiceError:
        return False
    return True


def test_a_job_outlives_the_process_that_started_it(
    settings: Settings, maintenance: Maintenance, command: list[str], tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    program = (
        "import os, signal\nfrom config.settings import load_settings\nfrom services.maintenance import Job, Maintenance\n"
        f"Maintenance(load_settings(), {command!r}).start(Job('env', ('wait', {str(go_on)!r})))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    variables = {**os.environ, "LOGS_DIR": str(settings.logs_dir), "DATA_DIR": str(settings.data_dir)}
    starter = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=variables)
    assert starter.returncode == -signal.SIGKILL
    said(maintenance, "env", "pid")
    assert state_of(maintenance, "env").status == "running"
    with pytest.raises(ServiceError, match="already"):
        maintenance.start(Job("env", ("well",)))
    go_on.touch()
    assert ended(maintenance, "env").status == "succeeded"


def test_stopping_ends_the_command_and_all_it_started(maintenance: Maintenance, tmp_path: Path) -> None:
    maintenance.start(Job("tracking_env", ("child", "wait", str(tmp_path / "never"))))
    pids = [int(said(maintenance, "tracking_env", word)) for word in ("pid", "child")]
    assert all(map(is_alive, pids))
    maintenance.stop("tracking_env")
    assert ended(maintenance, "tracking_env").status == "cancelled"
    assert not any(map(is_alive, pids))
    with pytest.raises(ServiceError, match="Nothing is being done"):  # once its attendant is gone, too
        wait_until(lambda: maintenance.stop("tracking_env"), what="a refusal")


def test_a_stop_that_comes_at_once_is_a_stop_too(maintenance: Maintenance, tmp_path: Path) -> None:
    maintenance.start(Job("tracking_env", ("wait", str(tmp_path / "never"))))
    maintenance.stop("tracking_env")
    assert ended(maintenance, "tracking_env").status == "cancelled"


def test_a_job_that_was_killed_is_interrupted(maintenance: Maintenance, settings: Settings, tmp_path: Path) -> None:
    maintenance.start(Job("tracking_env", ("wait", str(tmp_path / "never"))))
    command_pid = int(said(maintenance, "tracking_env", "pid"))
    record = json.loads((settings.data_dir / "maintenance" / "tracking_env.json").read_text())
    try:
        os.kill(record["owner"]["pid"], signal.SIGKILL)
        state = ended(maintenance, "tracking_env")
        assert (state.status, state.exit_code, state.ended_at) == ("interrupted", None, None)
    finally:
        os.killpg(command_pid, signal.SIGKILL)


def test_a_record_that_is_damaged_counts_as_none(maintenance: Maintenance, settings: Settings) -> None:
    folder = settings.data_dir / "maintenance"
    folder.mkdir(parents=True)
    folder.joinpath("env.json").write_text('{"arguments": ')
    assert maintenance.state("env") is None


@pytest.mark.parametrize("subject", ["../models", "nothing", ""])
def test_a_subject_that_there_is_not_is_refused(maintenance: Maintenance, subject: str) -> None:
    for ask in (maintenance.state, maintenance.stop):
        with pytest.raises(ServiceError) as refused:
            ask(subject)
        assert refused.value.code == "no_such_subject"


def test_verify_says_what_is_missing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real command, on a folder without models."""
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "none"))
    maintenance = Maintenance(settings)
    maintenance.start(verify_models())
    state = ended(maintenance, MODELS)
    assert (state.status, state.exit_code) == ("failed", 3)
    output = maintenance.output(state)
    said = {name: f"✗ {name}: missing. Run `derush models fetch {name}`." for name in declared_models()}
    assert all((said[name] in output) != spec.optional for name, spec in declared_models().items())


def test_verify_finds_the_models_whole(settings: Settings) -> None:
    """The real command, on the models that are here."""
    models_dir = read_settings(os.environ).models_dir
    wanted = [
        spec for spec in declared_models().values() if not spec.optional or model_path(spec, models_dir).is_file()
    ]
    if any(problem_of(spec, models_dir) for spec in wanted):
        missing("models")
    maintenance = Maintenance(settings)
    maintenance.start(verify_models())
    state = ended(maintenance, MODELS)
    assert state.status == "succeeded"
    assert maintenance.output(state).count("✓") == len(wanted)


def test_models_are_fetched_by_their_names() -> None:
    assert fetch_models(None).arguments == ("models", "fetch")
    assert fetch_models("yunet") == Job(MODELS, ("models", "fetch", "yunet"))
    with pytest.raises(ServiceError) as refused:
        fetch_models("--quiet")
    assert refused.value.code == "no_such_model"


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(open_database(settings.data_dir, None))


def test_rebuild_keeps_what_the_tests_need(settings: Settings, store: Store, tmp_path: Path) -> None:
    base = read_settings({"VENV_BASE_DIR": str(tmp_path / "envs")})
    assert rebuild("audio_env", base, store).arguments == ("envs", "rebuild", "audio_env")
    environment = environments(base)["audio_env"]
    (environment.root / "bin").mkdir(parents=True)
    environment.interpreter.touch()
    marker = {"locks": environment.expected(development=True), "python": "3.11"}
    (environment.root / "derush-installed.json").write_text(json.dumps(marker))
    assert rebuild("audio_env", base, store) == Job("audio_env", ("envs", "rebuild", "audio_env", "--dev"))


@pytest.mark.parametrize(
    ("name", "code"),
    [("../env", "no_such_environment"), ("models", "no_such_environment"), ("env", "home_environment")],
)
def test_what_cannot_be_rebuilt_is_refused(settings: Settings, store: Store, name: str, code: str) -> None:
    with pytest.raises(ServiceError) as refused:
        rebuild(name, settings, store)
    assert refused.value.code == code and refused.value.remedy


def test_nothing_is_rebuilt_under_a_run(settings: Settings, store: Store) -> None:
    run = Execution(
        id="exec_0123456789ab", run_id="exec_0123456789ab", kind="run", queued_at=utc_now(), status="running",
        owner=identity(), heartbeat_at=utc_now(),
    )  # fmt: skip
    store.save([run], [])
    with pytest.raises(ServiceError, match="exec_0123456789ab") as refused:
        rebuild("audio_env", settings, store)
    assert refused.value.code == "runs_go_on"
    store.change(run.id, ["running"], status="succeeded", owner=None)
    assert rebuild("audio_env", settings, store).subject == "audio_env"
