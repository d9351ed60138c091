"""An ffmpeg that hangs: nothing is told of it, so the runner finds it, stops it, and does the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from subprocess import CompletedProcess

import imageio_ffmpeg

from tests.conftest import REPOSITORY, is_alive, wait_until
from tests.steps.step2.clips import times_at, write_clip
from workflow_scripts.step2.ffmpeg_run import run_ffmpeg

F = Fraction


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return path


def test_reports_without_a_new_frame_are_no_sign_of_life(tmp_path: Path) -> None:
    """ffmpeg goes on reporting while it waits for its input."""
    report = "".join(f"frame={frame}\\nfps={fps}\\nprogress=continue\\n" for frame, fps in ((0, 0), (5, 20.4), (5, 9), (5, 1), (8, 2)))  # fmt: skip
    told: list[tuple[int, str]] = []

    run_ffmpeg([str(script(tmp_path / "ffmpeg", f"printf '{report}'"))], tmp_path, lambda *seen: told.append(seen))

    assert told == [(5, "20 fps"), (8, "2 fps")]


def test_an_ffmpeg_that_stands_still_is_found_and_stopped(
    tmp_path: Path, run_derush: Callable[..., CompletedProcess[str]]
) -> None:
    delivery = tmp_path / "delivery"
    delivery.mkdir()
    for name in ("good.mov", "hangs.mov"):
        write_clip(delivery / name, times_at(F(24), 24), F(1, 24))
    declared = (REPOSITORY / "config/steps.toml").read_text().replace("max_attempts = 2", "max_attempts = 1")
    before, step2, after = declared.partition("[steps.STEP2]")
    (tmp_path / "steps.toml").write_text(
        before + step2 + re.sub(r"stall_after = \d+", "stall_after = 3", after, count=1)
    )
    pids, real = tmp_path / "pids", imageio_ffmpeg.get_ffmpeg_exe()
    binary = script(
        tmp_path / "ffmpeg",
        'case "$*" in',
        f'*hangs.mov*-progress*) "{real}" "$@" & kill -STOP $!; echo $! >> "{pids}"; wait;;',
        f'*) exec "{real}" "$@";;',
        "esac",
    )

    ended = run_derush(
        "run", str(delivery), "--steps", "1,2", "--json",
        DERUSH_STEPS_FILE=str(tmp_path / "steps.toml"), FFMPEG_BINARY=str(binary), STEP2_ENCODER="libx264",
    )  # fmt: skip

    told = json.loads(ended.stdout)
    assert "failures" in told, told
    assert [(failure["step"], failure["code"]) for failure in told["failures"]] == [("STEP2", "stalled")], ended.stderr
    proxies = [path.name for path in (tmp_path / "projets_extraits").glob("*/docs/*.mp4")]
    assert proxies == ["good.mp4"]
    (pid,) = (int(line) for line in pids.read_text().split())
    wait_until(lambda: not is_alive(pid), what="the end of the ffmpeg that stood still")
