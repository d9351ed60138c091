"""`<stem>_audio_raw.json`: what was found, and what that means for each frame, written as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from workflow_scripts.step4.analysis import Run, frame_runs
from workflow_scripts.step4.chain import Outcome
from workflow_scripts.step4.records import Passage, Speech, Turn, speaking_times
from workflow_scripts.step4.speakers import Match
from workflow_scripts.stepkit.timebase import PROXY_RATE

SCHEMA = "derush.audio_raw/1"
_FRAMES = ' "frames_analysis"'


def head(
    video_filename: str, total_frames: int, outcome: Outcome | None, speech: Speech, matches: Mapping[str, Match]
) -> dict[str, Any]:
    """Return everything but the frames; `outcome` is None for a video that has no audio track.

    `matches` say by label how each speaker was found in the project.
    """
    return {
        "schema": SCHEMA,
        "video_filename": video_filename,
        "total_frames": total_frames,
        "fps": int(PROXY_RATE),
        "audio": "none" if outcome is None else "present",
        "engine": outcome.engine if outcome else None,
        "transcript_engine": outcome.transcript_engine if outcome else None,
        "fallback_chain": [asdict(attempt) for attempt in outcome.attempts] if outcome else [],
        "language": speech.language,
        "text": speech.text,
        "segments": [asdict(segment) for segment in speech.segments],
        "words": [asdict(word) for word in speech.words],
        "turns": [asdict(turn) for turn in speech.turns],
        "speakers": [
            {
                "label": label,
                "total_ms": total,
                "similarity": matches[label].similarity,
                "confidence": matches[label].confidence,
            }
            for label, total in speaking_times(speech.turns).items()
        ],
    }


def read(path: Path) -> tuple[dict[str, Any], Speech]:
    """Read everything but the frames back. Raises ValueError, KeyError, TypeError or OSError when it is no such document."""
    lines = []
    with path.open(encoding="ascii") as stream:
        for line in stream:
            if line.startswith(_FRAMES):
                break
            lines.append(line)
    told = json.loads("".join(lines).rstrip().rstrip(",") + "}")
    passages = {key: tuple(Passage(**part) for part in told[key]) for key in ("segments", "words")}
    turns = tuple(Turn(**turn) for turn in told["turns"])
    return told, Speech(turns=turns, language=told["language"], text=told["text"], **passages)


def write(path: Path, told: dict[str, Any], turns: Sequence[Turn]) -> None:
    """Write the document; its last key is `frames_analysis`, one object a frame, a line each."""
    with path.open("w", encoding="ascii", newline="\n") as stream:
        stream.write(json.dumps(told, indent=1)[:-2] + f",\n{_FRAMES}: [\n")
        _write_frames(stream, _frames(frame_runs(turns, told["total_frames"])))
        stream.write("\n ]\n}\n")


def _frames(runs: Iterable[Run]) -> Iterator[str]:
    for run in runs:
        said = {"is_speech_present": run.is_speech, "active_speaker_labels": list(run.speakers)}
        rest = json.dumps(said, separators=(",", ":"))[1:]
        for frame in range(run.first, run.end):
            yield f'{{"frame":{frame + 1},{rest}'


def _write_frames(stream: TextIO, frames: Iterator[str]) -> None:
    stream.write(next(frames, ""))
    for frame in frames:
        stream.write(",\n" + frame)
