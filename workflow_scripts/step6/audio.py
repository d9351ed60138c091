"""The raw audio analysis, frame by frame, in the reduced form: `derush.audio/1`.

The raw document has its few facts first and its long `frames_analysis` array last, so one short look at the head and
one streaming pass over the array are enough, in the same memory for any length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import ijson

from workflow_scripts.step6.broken import BrokenInput, broken_document, explained
from workflow_scripts.step6.layout import Layout

SCHEMA = "derush.audio/1"
_FACTS = ("video_filename", "total_frames", "fps")


@dataclass(frozen=True)
class AudioFacts:
    """What the head of the raw document says. `fps` is in frames a second."""

    video_filename: str
    total_frames: int
    fps: float


def read_facts(path: Path) -> AudioFacts:
    """Read the head of a raw audio analysis. Raises BrokenInput when it is not JSON or lacks a fact."""
    found: dict[str, Any] = {}
    try:
        with path.open("rb") as stream:
            for prefix, event, value in ijson.parse(stream, use_float=True):
                if prefix == "frames_analysis":
                    break
                if prefix in _FACTS and event in ("string", "number"):
                    found[prefix] = value
    except ijson.JSONError as error:
        raise broken_document(path, error) from error
    return _checked_facts(path, found)


def _checked_facts(path: Path, found: dict[str, Any]) -> AudioFacts:
    name, total, fps = (found.get(fact) for fact in _FACTS)
    if isinstance(name, str) and isinstance(total, int) and isinstance(fps, (int, float)) and fps > 0:
        return AudioFacts(name, total, fps)
    raise BrokenInput(path, "its head", f"before frames_analysis it must say {', '.join(_FACTS)}")


def reduce_audio(
    path: Path, facts: AudioFacts, stream: TextIO, layout: Layout, on_frame: Callable[[int], None]
) -> None:
    """Write the reduced form of the raw document `path` to `stream`; `on_frame` hears the number of each frame.

    Raises BrokenInput, with the place, when the document breaks off, misses a frame or has one of another form.
    """
    fps = int(facts.fps) if float(facts.fps).is_integer() else facts.fps
    head = {"schema": SCHEMA, "video_filename": facts.video_filename, "total_frames": facts.total_frames, "fps": fps}
    layout.write(stream, head, _reduced(path, facts, layout, on_frame), {})


def _reduced(path: Path, facts: AudioFacts, layout: Layout, on_frame: Callable[[int], None]) -> Iterator[str]:
    number = 0
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(ijson.items(stream, "frames_analysis.item", use_float=True), 1):
                yield layout.frame(reduced_frame(raw, number, facts.fps))
                on_frame(number)
    except ijson.JSONError as error:
        raise broken_document(path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenInput(path, f"frame {number}", explained(error)) from error
    if number != facts.total_frames:
        raise BrokenInput(path, f"frame {number}", f"it announces {facts.total_frames} frames and holds {number}")


def reduced_frame(raw: dict[str, Any], number: int, fps: float) -> dict[str, Any]:
    """Reduce the raw analysis of frame `number` (1-based); its time is that of the frame's beginning, in seconds.

    Raises ValueError when `raw` is that of another frame, KeyError when something is missing.
    """
    if raw["frame"] != number:
        raise ValueError(f"frame {raw['frame']} stands where {number} belongs")
    labels = list(dict.fromkeys(raw["active_speaker_labels"]))
    return {
        "frame": number,
        "audio_info": {
            "is_speech_present": bool(raw["is_speech_present"]),
            "num_distinct_speakers_audio": len(labels),
            "active_speaker_labels": labels,
            "timecode_sec": round((number - 1) / fps, 6),
        },
    }
