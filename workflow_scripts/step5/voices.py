"""Who speaks when, as STEP4 heard it: the turns of `<stem>_audio_raw.json`, in frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.stepkit import ItemError

_FRAME_MS = 40
_LAST_KEY = '"frames_analysis"'


class Turn(NamedTuple):
    """Somebody speaks in frames `first` to `end` (0-based, half-open); `voice` is STEP4's label, None if it is not known."""

    first: int
    end: int
    voice: str | None


def read_turns(path: Path, total_frames: int) -> list[Turn] | None:
    """Return the turns within a video, by start; None where the sound was not analysed: that is not silence.

    A turn covers the frames whose middle lies in it. Raises ItemError `bad_audio_raw` when the file is damaged.
    """
    try:
        known = json.loads(_head(path))
        if known["audio"] == "none":
            return []
        turns = [
            Turn(_frame(turn["start_ms"]), min(_frame(turn["end_ms"]), total_frames), turn["speaker"])
            for turn in known["turns"]
        ]
    except FileNotFoundError:
        return None
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        sentence = f"{path.name} is damaged ({error!r})."
        raise ItemError("bad_audio_raw", sentence, "Run STEP4 on this video again with --force.") from error
    return sorted(
        (turn for turn in turns if turn.first < turn.end), key=lambda turn: (turn.first, turn.end, turn.voice or "")
    )


def _head(path: Path) -> str:
    """Return the document without its frames, which stand last and are many."""
    lines: list[str] = []
    with path.open(encoding="utf-8") as stream:
        for text in stream:
            if text.lstrip().startswith(_LAST_KEY):
                return "".join(lines).rstrip().rstrip(",") + "}"
            lines.append(text)
    return "".join(lines)


def _frame(milliseconds: int) -> int:
    """Return the first frame whose middle is at or after a time."""
    return max(0, -((_FRAME_MS // 2 - int(milliseconds)) // _FRAME_MS))
