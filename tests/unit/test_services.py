"""Environments, models, logs, command line: what needs no run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from config.catalog import EnvironmentSpec, ModelSpec, environments, models
from services.boards import board
from services.commands import Child, run
from services.environments import Environment
from services.errors import CommandFailed, ServiceError
from services.model_files import fetch, problem_of
from services.package_index import translate_pip_configuration
from tests.conftest import is_alive, wait_until

Derush = Callable[..., "subprocess.CompletedProcess[str]"]


def test_pips_index_options_reach_uv_and_its_environment_wins() -> None:
    listing = (
        ":env:.find-links='/e/wheels'\nglobal.index-url='https://one/simple'\n"
        "global.extra-index-url='https://two/simple\\nhttps://three/simple'\nglobal.find-links='/g/wheels'\n"
    )
    assert translate_pip_configuration(listing) == {
        "UV_DEFAULT_INDEX": "https://one/simple",
        "UV_INDEX": "https://two/simple https://three/simple",
        "UV_FIND_LINKS": "/e/wheels",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert translate_pip_configuration("") == {}


def test_an_environment_is_built_only_when_its_marker_matches_its_locks(tmp_path: Path) -> None:
    environment = Environment(environments()["tracking_env"], tmp_path, "auto")
    assert not environment.is_built()
    assert environment.health() == "not built, or its build was interrupted"
    environment.interpreter.parent.mkdir(parents=True)
    environment.interpreter.symlink_to(sys.executable)
    marker = tmp_path / "derush-installed.json"
    marker.write_text(json.dumps({"locks": environment.expected(False)}))
    assert environment.is_built()
    assert not environment.is_built(development=True)
    assert not Environment(environment.spec, tmp_path, "cuda").is_built(), (
        "another build of torch is another environment"
    )
    marker.write_text('{"locks": "older"}')
    assert environment.health() == "built from older locks"


def test_health_names_what_does_not_import(tmp_path: Path) -> None:
    spec = EnvironmentSpec("tracking_env", "", ("json", "no_such_module_here"))
    environment = Environment(spec, tmp_path, "auto")
    environment.interpreter.parent.mkdir(parents=True)
    environment.interpreter.symlink_to(sys.executable)
    (tmp_path / "derush-installed.json").write_text(json.dumps({"locks": environment.expected(True)}))
    assert "no_such_module_here" in str(environment.health())


def model(content: bytes, url: str | None) -> ModelSpec:
    import hashlib

    return ModelSpec(
        "m", "m.bin", "", "STEP3", "MIT", len(content), hashlib.sha256(content).hexdigest(), None, None, url
    )


def test_a_model_takes_its_place_only_when_it_is_what_was_declared(tmp_path: Path) -> None:
    origin = tmp_path / "origin.bin"
    origin.write_bytes(b"weights")
    spec, models_dir = model(b"weights", origin.as_uri()), tmp_path / "models"
    assert problem_of(spec, models_dir) == "missing"
    assert fetch([spec], models_dir, print) == ["m"]
    assert fetch([spec], models_dir, print) == [], "what is there is not fetched again"
    (models_dir / "m.bin").write_bytes(b"weightz")
    assert problem_of(spec, models_dir) == "damaged: its sha256 is another one"
    assert fetch([spec], models_dir, print) == ["m"]
    origin.write_bytes(b"forged!")
    (models_dir / "m.bin").unlink()
    with pytest.raises(ServiceError, match="another sha256"):
        fetch([spec], models_dir, print)
    assert [path.name for path in models_dir.iterdir()] == [".lock"], "nothing half fetched is left"


def test_every_declared_model_is_complete() -> None:
    for spec in models().values():
        assert spec.bytes > 0 and spec.licence and spec.about


def test_a_commands_error_carries_command_code_and_output() -> None:
    with pytest.raises(CommandFailed) as caught:
        run([sys.executable, "-c", "import sys; print('last words'); sys.exit(7)"], remedy="Do x.", timeout=60)
    assert "ended with 7" in caught.value.message and "last words" in caught.value.message
    assert caught.value.remedy == "Do x."


def test_stopping_a_child_that_ignores_signals_ends_it_and_its_own_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, pathlib, time\n"
        "for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '3600'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(3600)\n"
    )
    child = Child([sys.executable, "-c", code], changes={})
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    grandchild = int((tmp_path / "pid").read_text())
    child.stop(grace=0.2)
    assert child.process.returncode == -9
    wait_until(lambda: not is_alive(grandchild), 5)


def test_a_board_shows_what_the_records_say(tmp_path: Path) -> None:
    records = tmp_path / "p" / ".derush"
    records.mkdir(parents=True)
    (records / "clip.json").write_text(json.dumps({"steps": {"STEP3": {"seconds": 1.5}}}))
    (records / "bad.json").write_text(json.dumps({"steps": {}, "failures": {"STEP2": {"code": "not_a_video"}}}))
    (records / "broken.json").write_text("{")
    found = board(tmp_path / "p")
    assert [(row.video, sorted(row.steps), sorted(row.failures)) for row in found.rows] == [
        ("bad", [], ["STEP2"]),
        ("clip", ["STEP3"], []),
    ]


def test_a_busy_port_is_one_sentence(run_derush: Derush) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run_derush("serve", "--port", str(taken.getsockname()[1]), timeout=30)
    assert ended.returncode == 2
    assert "--port" in ended.stderr and len(ended.stderr.strip().splitlines()) == 1


def test_an_error_is_json_where_json_was_asked_for(run_derush: Derush) -> None:
    told = json.loads(run_derush("run", "--json", "/no/such/place").stdout)
    assert (told["exit_code"], told["error"]["code"]) == (2, "no_input")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "Exit codes"),
        (["run"], 2, "--demo"),
        (["run", "/no/such/place"], 2, "does not exist"),
        (["run", "--demo", "--steps", "9"], 2, "1 to 7"),
        (["frobnicate"], 2, "No such command"),
        (["run", "--demo", "--device", "foo"], 2, "cuda"),
        (["logs", "STEP9"], 2, "STEP1"),
        (["logs", "STEP3"], 2, "no log"),
        (["models", "fetch", "nothing"], 2, "transnetv2"),
        (["envs", "check", "nothing"], 2, "transnet_env"),
    ],
)
def test_every_ending_of_the_command_line_says_what_to_do(
    run_derush: Derush, arguments: list[str], code: int, said: str
) -> None:
    ended = run_derush(*arguments)
    assert ended.returncode == code, ended.stderr
    assert said in ended.stdout + ended.stderr


def test_a_wrong_setting_is_exit_code_2_everywhere(run_derush: Derush) -> None:
    ended = run_derush("doctor", STEP5_ENABLE_GPU="yes")
    assert ended.returncode == 2
    assert "STEP5_ENABLE_GPU=yes: accepted: true, 1, on, false, 0, off" in ended.stderr


@pytest.mark.parametrize(
    ("options", "variables", "code", "said"),
    [
        (["--engine", "nonsense"], {}, 2, "no tracking engine 'nonsense'"),
        ([], {"MODELS_DIR": "/no/such/folder"}, 3, "derush models fetch"),
        ([], {"FFMPEG_BINARY": "/no/such/ffmpeg"}, 3, "FFMPEG_BINARY"),
        ([], {"TRACKING_DISABLE_GPU": "1", "STEP5_ENABLE_GPU": "1"}, 2, "STEP5_ENABLE_GPU"),
        ([], {"CACHE_ROOT_DIR": "/no/such/disk"}, 3, "CACHE_ROOT_DIR"),
    ],
)
def test_what_would_stop_a_late_step_is_said_before_the_first_one_works(
    run_derush: Derush, tmp_path: Path, options: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    ended = run_derush("run", "--demo", *options, **variables)
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert not (tmp_path / "projets_extraits").exists()


def test_an_empty_folder_is_named(run_derush: Derush, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = run_derush("run", str(tmp_path / "empty"))
    assert ended.returncode == 2
    assert "nothing_found" in ended.stderr and "empty" in ended.stderr
