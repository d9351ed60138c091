"""Speaker turns as RTTM, the form that tools for diarization read (NIST, Rich Transcription 2009). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workflow_scripts.step4.records import Turn

UNKNOWN = "UNKNOWN"
"""Who speaks in a turn of which that is not known."""


def rttm(name: str, turns: Iterable[Turn], names: Mapping[str, str]) -> str:
    """Return turns as RTTM lines about the recording `name`; blanks in names become `_`, for blanks part the fields."""
    recording = _field(name)
    return "".join(
        f"SPEAKER {recording} 1 {turn.start_ms / 1000:.3f} {(turn.end_ms - turn.start_ms) / 1000:.3f} "
        f"<NA> <NA> {_field(names.get(turn.speaker, turn.speaker) if turn.speaker else UNKNOWN)} <NA> <NA>\n"
        for turn in sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker or ""))
    )


def _field(text: str) -> str:
    return "_".join(text.split()) or "_"
