"""Clips whose cuts and gradual transitions are known to the frame: shots of real footage and drawn ones, joined here.

What must not be taken for a cut is in them too: flashes, fast pans, handheld shake, split screens, black frames.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:1] = [str(REPOSITORY), str(REPOSITORY / "scripts")]

from make_sample import CACHE, TRUTH, fetch_media

Frame = NDArray[np.uint8]
WIDTH, HEIGHT, RATE = 320, 180, 25
_SCALE = 2  # sources are kept larger than what is shown of them, so that there is room to move
FEWEST, MOST = 24, 60
"""Frames of a shot beside its transitions."""


@dataclass(frozen=True)
class Span:
    """Frames of a source, cut-free: [first, after). `hold`: how often each is shown."""

    source: str
    first: int
    after: int
    hold: int = 1


def spans() -> list[Span]:
    """Return what is cut-free of the demo's sources (scripts/make_sample.py, samples/truth.json) and what ffmpeg draws."""
    clips = {Path(clip["file"]).name: clip for clip in json.loads(TRUTH.read_text(encoding="utf-8"))["clips"]}
    bikes = [0, *clips["L'été à Bruxelles.mp4"]["cuts"], 250]
    return [
        *(Span("bikes.mp4", first + 1, after - 1) for first, after in pairwise(bikes)),
        *(Span("WolfgangLanger_Pexels.mp4", first, first + 120) for first in (0, 170, 340)),
        *(Span("obama_speech.mp4", first, first + 50, 2) for first in (0, 50)),
        Span("trailer_bbb.mp4", 620, 681), Span("trailer_bbb.mp4", 915, 975), Span("trailer_bbb.mp4", 988, 1048),
        Span("trailer_bbb.mp4", 1049, 1079, 2),
        *(Span(drawn, 0, 120) for drawn in DRAWN),
    ]  # fmt: skip


DRAWN = {
    "mandelbrot": "mandelbrot=size=640x360:rate=25",
    "testsrc2": "testsrc2=size=640x360:rate=25",
    "gradients": "gradients=size=640x360:rate=25:seed=7:speed=0.02",
    "life": "life=size=64x36:rate=5:mold=10:seed=3:life_color=#20C0FF:death_color=#802010,fps=25",
}
"""Moving pictures that ffmpeg makes by itself."""


@dataclass(frozen=True)
class Composite:
    """A clip and what is in it: the first frame of each shot after a hard cut; each gradual transition's mixed frames."""

    path: Path
    cuts: list[int]
    graduals: list[tuple[int, int]]
    """[first, after) of the frames that are neither the shot before nor the one after."""
    frames: int


def fetch(folder: Path, ffmpeg: str) -> dict[str, list[Frame]]:
    """Bring the footage into `folder` and decode what is needed of it."""
    sources = [it for it in json.loads(TRUTH.read_text(encoding="utf-8"))["sources"] if it["member"].endswith(".mp4")]
    CACHE.mkdir(parents=True, exist_ok=True)
    fetch_media(sources, CACHE, folder)
    return {
        name: _decoded(ffmpeg, name, folder, max(span.after for span in spans() if span.source == name))
        for name in {span.source for span in spans()}
    }


def _decoded(ffmpeg: str, name: str, folder: Path, frames: int) -> list[Frame]:
    width, height = WIDTH * _SCALE, HEIGHT * _SCALE
    source = ["-f", "lavfi", "-i", DRAWN[name]] if name in DRAWN else ["-i", str(folder / name)]
    scaled = f"scale={width}:{height}:force_original_aspect_ratio=increase,crop={width}:{height}"
    command = [ffmpeg, "-v", "error", *source, "-vf", scaled, "-frames:v", str(frames), "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return list(np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))


# --- shots


Treatment = Callable[[random.Random, int], Iterator[tuple[float, float]]]
"""Yields for each frame where the view stands within its room, from 0 to 1 in both directions."""


def _still(source: random.Random, frames: int) -> Iterator[tuple[float, float]]:
    x, y = source.random(), source.random()
    return iter([(x, y)] * frames)


def _pan(source: random.Random, frames: int) -> Iterator[tuple[float, float]]:
    """Cross the whole room in half a second, to and fro."""
    offset = source.random()
    return ((abs((offset + number / 12) % 2 - 1), 0.5) for number in range(frames))


def _shake(source: random.Random, frames: int) -> Iterator[tuple[float, float]]:
    x = y = 0.5
    for _ in range(frames):
        x, y = (min(1.0, max(0.0, at + source.gauss(0, 0.08))) for at in (x, y))
        yield x, y


def shot(source: random.Random, span: Span, media: Sequence[Frame], frames: int) -> list[Frame]:
    """Return a shot of so many frames out of a span, seen and graded in a way of its own."""
    treatment = source.choice([_still, _still, _still, _pan, _shake])
    zoom = source.uniform(0.55, 0.9)
    width, height = int(WIDTH * _SCALE * zoom), int(HEIGHT * _SCALE * zoom)
    gain, mirrored = source.uniform(0.75, 1.2), source.random() < 0.5
    start = source.randrange(max(1, (span.after - span.first) * span.hold - frames))
    made = []
    for number, (x, y) in enumerate(treatment(source, frames)):
        whole = media[min(span.first + (start + number) // span.hold, span.after - 1, len(media) - 1)]
        left, top = int(x * (whole.shape[1] - width)), int(y * (whole.shape[0] - height))
        rows, columns = top + np.arange(HEIGHT) * height // HEIGHT, left + np.arange(WIDTH) * width // WIDTH
        seen = whole[rows[:, None], columns]
        made.append(np.clip((seen[:, ::-1] if mirrored else seen) * gain, 0, 255).astype(np.uint8))
    chance = source.random()
    if chance < 0.15:
        _flash(source, made)
    elif chance < 0.25:  # a split screen: the picture beside its mirror image
        made = [np.concatenate([frame[:, ::2], frame[:, ::-2]], 1) for frame in made]
    return made


def _flash(source: random.Random, frames: list[Frame]) -> None:
    """Let a photographer's flash go off: two bright frames within the shot, away from its ends."""
    at = source.randrange(8, len(frames) - 10)
    for number, strength in ((at, 0.8), (at + 1, 0.35)):
        frames[number] = (frames[number] * (1 - strength) + 255 * strength).astype(np.uint8)


# --- joining


@dataclass(frozen=True)
class Join:
    """How one shot becomes the next: `cut`, `black` (a cut to black frames and one out of them), `dissolve` or `fade`."""

    kind: str
    frames: int = 0

    @property
    def overlap(self) -> int:
        """How many frames of each of the two shots are mixed."""
        return self.frames if self.kind in ("dissolve", "fade") else 0


def plan(source: random.Random, cuts: int, graduals: int) -> list[Join]:
    """Return joins in an order that `source` decides: so many hard cuts, a tenth of them in pairs around black frames."""
    blacks = cuts // 20
    joins = [Join("cut")] * (cuts - 2 * blacks) + [Join("black", source.randrange(6, 20)) for _ in range(blacks)]
    for number in range(graduals):
        kind = "fade" if number % 3 == 2 else "dissolve"
        joins.append(Join(kind, 5 + 45 * number // max(1, graduals - 1)))  # 5 to 50 frames, evenly
    source.shuffle(joins)
    return joins


def compose(
    path: Path, joins: Sequence[Join], source: random.Random, media: Mapping[str, Sequence[Frame]], ffmpeg: str
) -> Composite:
    """Write a clip of one shot more than there are joins."""
    made: list[Frame] = []
    starts: list[int] = []
    graduals: list[tuple[int, int]] = []
    span: Span | None = None
    outgoing: list[Frame] = []
    for before, after in zip([Join("cut"), *joins], [*joins, Join("cut")], strict=True):
        span = source.choice([it for it in spans() if span is None or it.source != span.source])
        frames = shot(source, span, media[span.source], before.overlap + source.randrange(FEWEST, MOST) + after.overlap)
        if before.kind == "black":
            starts.append(len(made))
            made += [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * before.frames
        if before.overlap:
            graduals.append((len(made), len(made) + before.overlap))
            made += _mixed(before.kind, outgoing, frames[: before.overlap])
        else:
            starts.append(len(made))
        made += frames[before.overlap : len(frames) - after.overlap]
        outgoing = frames[len(frames) - after.overlap :]
    _encode(path, made, ffmpeg)
    return Composite(path, starts[1:], graduals, len(made))


def _mixed(kind: str, before: Sequence[Frame], after: Sequence[Frame]) -> list[Frame]:
    """Return the frames of a dissolve, or of a fade to black and up again, while both shots go on."""
    made = []
    for number, (a, b) in enumerate(zip(before, after, strict=True), 1):
        at = number / (len(before) + 1)
        out, into = (1 - at, at) if kind == "dissolve" else (max(0.0, 1 - 2 * at), max(0.0, 2 * at - 1))
        made.append((a * out + b * into).astype(np.uint8))
    return made


def _encode(path: Path, frames: Sequence[Frame], ffmpeg: str) -> None:
    """Write frames as a proxy is: H.264 4:2:0 at 25 fps, a keyframe every two seconds."""
    command = [
        ffmpeg, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE),
        "-i", "-", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-g", "50", "-pix_fmt", "yuv420p", str(path),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for frame in frames:
            process.stdin.write(frame.tobytes())
        process.stdin.close()
        if process.wait() != 0:
            raise SystemExit(f"ffmpeg could not write {path.name}.")


def composite(folder: Path, ffmpeg: str, number: int, cuts: int, graduals: int, seed: int = 1) -> Composite:
    """Write clip `number` (from 0), with so many cuts and gradual transitions, into `folder`. The same seed, the same clips."""
    source = random.Random(1000 * seed + number)
    path = folder / f"composite{number}.mp4"
    return compose(path, plan(source, cuts, graduals), source, fetch(folder, ffmpeg), ffmpeg)
