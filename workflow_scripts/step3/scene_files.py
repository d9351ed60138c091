"""What STEP3 writes: `<stem>_scenes.csv` and `<stem>_scenes.json` (docs/schemas/scenes.json)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step3.shots import Curve, Shot
from workflow_scripts.stepkit.timebase import PROXY_RATE, clock, frame_time

SCHEMA = "derush.scenes/1"
CSV_HEADER = ("No", "Timecode In", "Timecode Out", "Frame In", "Frame Out")
HEADS = ("single_frame", "many_hot")
"""The two curves, by the names they have in the JSON file."""
_PERMILLE = 1000

Thousandths = NDArray[np.int64]


@dataclass(frozen=True)
class Seen:
    """What the network saw of a video: both curves by their names, and the frames that are damaged, as half-open intervals."""

    curves: Mapping[str, Thousandths]
    damaged: Sequence[tuple[int, int]] = ()


def permille(curve: NDArray[np.float32]) -> Thousandths:
    """Round probabilities to whole thousandths, as the curves are kept: shots found from these can be found again."""
    return np.rint(curve * _PERMILLE).astype(np.int64)


def probabilities(curve: Thousandths) -> Curve:
    """Return thousandths as probabilities; 400 becomes exactly what `0.4` reads as, so that thresholds compare well."""
    return curve / _PERMILLE


def run_lengths(curve: Thousandths) -> str:
    """Write a curve as its values parted by blanks, `value*count` where one repeats: `0*39 992 4 0*160`."""
    counted = ((value, sum(1 for _ in run)) for value, run in groupby(curve.tolist()))
    return " ".join(f"{value}*{count}" if count > 1 else str(value) for value, count in counted)


def from_run_lengths(text: str) -> Thousandths:
    """Read a curve back."""
    values, counts = [], []
    for run in text.split():
        value, _, count = run.partition("*")
        values.append(int(value))
        counts.append(int(count or 1))
    return np.repeat(np.array(values, np.int64), counts)


def csv_text(shots: Sequence[Shot]) -> str:
    """Return the CSV: a line for each shot; frames 1-based and inclusive, times those at which these two frames begin."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for number, shot in enumerate(shots, 1):
        first, last = shot.start_frame, shot.end_frame - 1
        writer.writerow([number, clock(frame_time(first)), clock(frame_time(last)), first + 1, last + 1])
    return text.getvalue()


def document(name: str, shots: Sequence[Shot], seen: Seen, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON document of the video file `name`; `about` says with which model and parameters it was made."""
    damaged = [{"start_frame": first, "end_frame": after} for first, after in seen.damaged]
    return {
        "schema": SCHEMA,
        "video_filename": name,
        "total_frames": shots[-1].end_frame,
        "fps": int(PROXY_RATE),
        **about,
        **({"damaged": damaged} if damaged else {}),
        "scenes": [_scene(shot) for shot in shots],
        "curve": {"unit": "permille", **{head: run_lengths(curve) for head, curve in seen.curves.items()}},
    }


def seen_of(document: Mapping[str, Any]) -> Seen:
    """Return what the network saw out of a document."""
    damaged = [(it["start_frame"], it["end_frame"]) for it in document.get("damaged", ())]
    return Seen({head: from_run_lengths(document["curve"][head]) for head in HEADS}, damaged)


def _scene(shot: Shot) -> dict[str, Any]:
    return {
        "start_frame": shot.start_frame,
        "end_frame": shot.end_frame,
        "transition_in": _transition_in(shot),
    }


def _transition_in(shot: Shot) -> dict[str, Any]:
    transition = shot.transition_in
    if transition is None:
        return {"type": "start"}
    return {
        "type": transition.kind,
        "confidence": round(transition.confidence, 3),
        "first_frame": transition.first_frame,
        "last_frame": transition.last_frame,
    }
