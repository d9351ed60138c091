"""What reducing and delivering cost beside the plain tools a person would take instead.

    reduce_over_json, reduce_over_jq, reduce_over_duckdb
                           a program with Python's json, `jq` and DuckDB making the same reduction of raw tracking / STEP6,
                           every check and hash on
    reduce_peak_mb         megabytes of memory that STEP6 takes at most
    deliver_over_fastest   STEP7 / the faster of `rsync --checksum` and `cp` with `sha256sum`, of the same files

All ways are timed as whole processes, in turns; the medians are compared. What is read lies in the disk's cache.

    envs/env/bin/python scripts/bench/delivery.py [--quick] [--only reduce|deliver] [--megabytes N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:1] = [str(REPOSITORY), str(REPOSITORY / "scripts" / "bench")]

from delivery_copies import compare_delivery

_OTHERS = REPOSITORY / "scripts/bench/others"
_STEP6 = REPOSITORY / "workflow_scripts/step6/json_reducer.py"
_POOL = 400
"""Frames that differ; a longer file repeats them."""
_SMALL = 4
"""Megabytes that every way reduces first, to see that all do the same."""


@dataclass(frozen=True)
class Sizes:
    """Megabytes of raw tracking, and of what is delivered."""

    reduce: int
    deliver: int


FULL, QUICK = Sizes(reduce=1000, deliver=5000), Sizes(reduce=100, deliver=500)


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything and one round, in under 50 s")
    parser.add_argument("--only", choices=("reduce", "deliver"), help="one of the two")
    parser.add_argument("--megabytes", type=int, help="of raw tracking, or of what is delivered, in place of the usual")
    parser.add_argument("--rounds", type=int, default=1, help="how often each way is timed (default: 1)")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    figures: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory(prefix="derush-delivery-") as name:
        folder = Path(name)
        if arguments.only in (None, "reduce"):
            figures |= compare_reduction(folder, arguments.megabytes or sizes.reduce, arguments.rounds)
        if arguments.only in (None, "deliver"):
            figures |= compare_delivery(folder, arguments.megabytes or sizes.deliver, arguments.rounds)
    print(json.dumps(figures))
    return 0


def compare_reduction(folder: Path, megabytes: int, rounds: int) -> dict[str, float | None]:
    """Reduce the same raw tracking by STEP6 and by each tool that is there; None for one that is not."""
    small, large = Clip(folder / "small"), Clip(folder / "large")
    small.write(_SMALL)
    tools = small.ways()
    for name, run in tools.items():
        run()
        assert_alike(name, small.reduced(name), small.reduced("json"))
    frames = large.write(megabytes)
    print(f"{large.raw.stat().st_size / 1e6:.0f} MB of raw tracking, {frames} frames of three faces", flush=True)
    ways = large.ways()
    taken: dict[str, list[Taken]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            taken[name].append(run())
    seconds = {name: statistics.median(each.seconds for each in every) for name, every in taken.items()}
    for name, every in taken.items():
        peak, worked = max(each.megabytes for each in every), statistics.median(each.processor for each in every)
        print(f"{name:8} {seconds[name]:8.2f} s {worked:8.2f} s of processor time {peak:8.0f} MB of memory", flush=True)
    shutil.rmtree(large.root)
    others = ("json", "jq", "duckdb")
    ratios = {f"reduce_over_{it}": round(seconds[it] / seconds["step6"], 2) if it in seconds else None for it in others}
    return {**ratios, "reduce_peak_mb": round(max(each.megabytes for each in taken["step6"]), 1)}


@dataclass(frozen=True)
class Taken:
    """What a process took: seconds, seconds of processor time, and megabytes of memory at most."""

    seconds: float
    processor: float
    megabytes: float


def run(command: list[str], variables: dict[str, str] | None = None, output: Path | None = None) -> Taken:
    """Run a command to its end and say what it took."""
    os.sync()  # what was prepared is on the disk: who flushes its own files does not wait for it
    started = time.perf_counter()
    with (output or Path(os.devnull)).open("wb") as stream:
        process = subprocess.Popen(command, env=variables, stdout=stream, stderr=subprocess.PIPE)
        assert process.stderr
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[:3]} ended with {process.returncode}: {said[-2000:].decode(errors='replace')}")
    return Taken(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


@dataclass(frozen=True)
class Clip:
    """A work directory with one video that is tracked, and what each way makes of it."""

    root: Path

    @property
    def _docs(self) -> Path:
        return self.root / "projects" / "bench" / "docs"

    @property
    def raw(self) -> Path:
        """The raw tracking."""
        return self._docs / "clip_tracking_raw.jsonl"

    def write(self, megabytes: int) -> int:
        """Write what STEP6 reads, the tracking so many megabytes large; returns its frames."""
        self._docs.mkdir(parents=True)
        (self._docs / "clip.mp4").write_bytes(b"proxy")
        frames = write_tracking(self.raw, megabytes * 1_000_000)
        proxy = {"frames": frames, "width": 1280, "height": 720, "has_audio": True}
        source = {"schema": "derush.source/1", "proxy": proxy, "original": {"sha256": "ab" * 32}}
        (self._docs / "clip_source.json").write_text(json.dumps(source))
        # The sound is as short as can be: the other ways do not reduce it.
        sound = {"video_filename": "clip.mp4", "total_frames": 0, "fps": 25, "frames_analysis": []}
        (self._docs / "clip_audio_raw.json").write_text(json.dumps(sound))
        return frames

    def ways(self) -> dict[str, Callable[[], Taken]]:
        """Return the ways that can be gone here, by name."""
        ways: dict[str, Callable[[], Taken]] = {
            "step6": self._step6,
            "json": lambda: self._program("plain_reduction.py"),
        }
        if jq := shutil.which("jq"):
            query = (_OTHERS / "reduction.jq").read_text(encoding="utf-8")
            ways["jq"] = lambda: run([jq, "-c", query, str(self.raw)], output=self._made("jq"))
        else:
            print("jq is not installed (apt-get install jq): it is left out")
        ways["duckdb"] = lambda: self._program("duckdb_reduction.py")
        return ways

    def _step6(self) -> Taken:
        places = ("DATA_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR")
        apart = {place: str(self.root / place.lower()) for place in places}
        variables = {**os.environ, **apart, "PROJECTS_DIR": str(self.root / "projects"), "DERUSH_ENV_FILE": os.devnull}
        shutil.rmtree(self.root / "projects" / "bench" / ".derush", ignore_errors=True)
        return run([sys.executable, str(_STEP6)], variables)

    def _program(self, name: str) -> Taken:
        return run([sys.executable, str(_OTHERS / name), str(self.raw), str(self._made(name.partition("_")[0]))])

    def _made(self, name: str) -> Path:
        return self.root / f"{name}.json"

    def reduced(self, name: str) -> Any:
        """Return the frames that a way made."""
        if name == "jq":
            return [json.loads(line) for line in self._made(name).read_text().splitlines()]
        if name == "duckdb":
            return json.loads(self._made(name).read_text())
        path = self._docs / "clip_tracking.json" if name == "step6" else self._made("plain")
        if name == "json" and not path.is_file():
            self.ways()["json"]()
        return json.loads(path.read_text())["frames_analysis"]


def write_tracking(path: Path, size: int) -> int:
    """Write raw tracking as STEP5 does by default (three faces, their mouths' blendshapes); returns how many frames."""
    rnd = random.Random(1)
    lines = [_line_without_number(rnd, number) for number in range(_POOL)]
    frames = size // (sum(map(len, lines)) // _POOL + len('{"frame":123456'))
    head = {
        "schema": "derush.tracking_raw/1", "video_filename": "clip.mp4", "fps": 25, "width": 1280, "height": 720,
        "engine": "mediapipe_landmarker", "total_frames": frames, "scenes": frames // 200 + 1,
    }  # fmt: skip
    with path.open("w") as stream:
        stream.write(json.dumps(head) + "\n")
        stream.writelines(f'{{"frame":{number}{lines[number % _POOL]}' for number in range(1, frames + 1))
    return frames


def _line_without_number(rnd: random.Random, number: int) -> str:
    faces = [_face(rnd, 3 * number // 200 + person, person) for person in range(3)]
    speakers = [{"id": faces[0]["id"], "person": "person_0", "voice": "SPEAKER_00"}]
    return "," + json.dumps({"objects": faces, "active_speakers": speakers}, separators=(",", ":"))[1:] + "\n"


def _face(rnd: random.Random, track: int, person: int) -> dict[str, Any]:
    left, top, width, height = (round(rnd.uniform(0, limit), 2) for limit in (1000, 500, 280, 220))
    return {
        "id": track, "bbox": [left, top, width, height],
        "centroid": [round(left + width / 2, 2), round(top + height / 2, 2)],
        "source": "mediapipe_landmarker", "label": "face", "confidence": round(rnd.random(), 4),
        "blendshapes": [round(rnd.random(), 4) for _ in range(27)], "speaking": {"jaw_open": round(rnd.random(), 4)},
        "identity": {"person": f"person_{person}", "confidence": 0.93, "by": "face"}, "is_speaking": person == 0,
        "speaking_confidence": round(rnd.random(), 4),
        "speaking_sources": {"audio": 1.0, "visual": round(rnd.random(), 4), "pairing": None},
        "active_speakers": ["SPEAKER_00"] if person == 0 else [],
    }  # fmt: skip


def assert_alike(name: str, made: Iterable[Any], wanted: Iterable[Any]) -> None:
    """Stop where a way made something else: but for the last decimal, which each tool rounds in its own way."""
    if not _is_alike(list(made), list(wanted)):
        raise SystemExit(f"{name} makes another reduction: there is nothing to compare.")


def _is_alike(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_alike, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_alike(one[key], other[key]) for key in one)
    if isinstance(one, float) or isinstance(other, float):
        return bool(abs(one - other) < 0.11)
    return bool(one == other)


if __name__ == "__main__":
    sys.exit(main())
