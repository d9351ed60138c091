"""The public command lines, exactly as they are written, from the root of a copy of the repository."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.catalog import steps
from config.settings import load_settings
from tests.conftest import REPOSITORY

LINES = [
    "envs/env/bin/python workflow_scripts/step1/extract_archives.py --source-dir rushes",
    "envs/env/bin/python workflow_scripts/step2/convert_videos.py",
    "envs/transnet_env/bin/python workflow_scripts/step3/run_transnet.py --videos videos_to_track.json",
    "envs/audio_env/bin/python workflow_scripts/step4/run_audio_analysis_lemonfox.py --log_dir logs/step4",
    "envs/tracking_env/bin/python workflow_scripts/step5/run_tracking_manager.py "
    "--videos_json_path videos_to_track.json --tracking_engine opencv_yunet",
    "envs/env/bin/python workflow_scripts/step6/json_reducer.py --log_dir logs/step6 --work_dir projets_extraits",
    "envs/env/bin/python workflow_scripts/step7/finalize_and_copy.py",
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a step needs, with the built environments and the models linked in, and one short clip."""
    from tests.integration.media import make_clip

    root = tmp_path_factory.mktemp("copy")
    for name in ("config", "services", "workflow_scripts"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    settings = load_settings()
    (root / "envs").symlink_to(settings.venv_base_dir)
    (root / "models").symlink_to(settings.models_dir)
    make_clip(root / "rushes" / "12_Camille_x" / "clip.mp4", seconds=0.6)
    shutil.make_archive(str(root / "rushes" / "12_Camille_x"), "gztar", root / "rushes" / "12_Camille_x")
    shutil.rmtree(root / "rushes" / "12_Camille_x")
    (root / ".env").write_text("STEP1_MIN_SIZE_MB=0\n")  # the clip is tiny
    return root


def call(line: str, root: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*shlex.split(line), *more], cwd=root, capture_output=True, text=True, timeout=280)


def test_the_seven_lines_in_their_order(copy: Path) -> None:
    for number, line in enumerate(LINES, 1):
        ended = call(line, copy)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"
        assert list((copy / "logs" / f"step{number}").glob("*.log")), f"STEP{number} keeps a log"
    project = copy / "projets_extraits" / "12 Camille"
    suffixes = [
        "_source.json",
        "_scenes.csv",
        "_scenes.json",
        "_audio_raw.json",
        "_audio.json",
        "_tracking_raw.jsonl",
        "_tracking.json",
    ]
    assert all((project / "docs" / f"clip{suffix}").is_file() for suffix in suffixes)
    assert list((copy / "logs" / "step5").glob("manager_*.log"))
    assert list((copy / "archives").glob("12 Camille */*/metadata.json"))
    assert json.loads((copy / "videos_to_track.json").read_text()) == [str(project / "docs" / "clip.mp4")]
    for line in LINES:
        again = call(line, copy)
        assert again.returncode == 0 and "1 up to date" in again.stderr, again.stderr


@pytest.mark.parametrize("line", LINES, ids=list(steps()))
def test_every_script_has_help_and_the_exit_codes_of_the_contract(copy: Path, line: str) -> None:
    script = " ".join(line.split()[:2])
    helped = call(f"{script} --help", copy)
    assert helped.returncode == 0
    assert "exit codes: 0 done" in helped.stdout and "--dry-run" in helped.stdout
    assert call(f"{script} --no-such-option", copy).returncode == 2
    assert call(f"{script} --videos no_such_list.json", copy).returncode == 2


@pytest.mark.parametrize(("number", "model"), [(3, "transnetv2"), (4, "campplus"), (5, "yunet")])
def test_a_missing_model_is_exit_code_3_with_the_command_that_fetches_it(
    copy: Path, number: int, model: str, tmp_path: Path
) -> None:
    line = " ".join(LINES[number - 1].split()[:2])
    ended = subprocess.run(
        [*shlex.split(line), "--videos", "-"], cwd=copy, input="", capture_output=True, text=True, timeout=120,
        env={"MODELS_DIR": str(tmp_path / "none"), "PATH": "/usr/bin:/bin", "LEMONFOX_API_KEY": ""},
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    assert "derush models fetch" in ended.stderr


def test_a_step_that_is_driven_takes_items_as_they_come(copy: Path) -> None:
    line = f"{sys.executable} workflow_scripts/step6/json_reducer.py --videos - --events /dev/stdout"
    with subprocess.Popen(
        shlex.split(line), cwd=copy, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "hello"
        for name in ("a", "b"):
            process.stdin.write(json.dumps({"path": f"/no/project/docs/{name}.mp4"}) + "\n")
            process.stdin.flush()
            said = [json.loads(process.stdout.readline()) for _ in range(2)]
            assert [event["event"] for event in said] == ["item_started", "item_done"]
            assert said[1]["error"]["code"] and said[1]["error"]["remedy"]
        process.stdin.close()
        assert json.loads(process.stdout.readline())["event"] == "goodbye"
        assert process.wait(30) == 1
