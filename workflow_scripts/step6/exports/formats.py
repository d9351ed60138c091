"""The formats of an export: their names, what opens them, what they need, who writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.step6.exports.after_effects import ae_json, mgjson
from workflow_scripts.step6.exports.after_effects_script import jsx
from workflow_scripts.step6.exports.annotations import coco, cvat, mot
from workflow_scripts.step6.exports.edl import edl
from workflow_scripts.step6.exports.fcp7 import fcp7
from workflow_scripts.step6.exports.fcpxml import fcpxml
from workflow_scripts.step6.exports.otio import otio
from workflow_scripts.step6.exports.subtitles import ass, rttm, srt, vtt
from workflow_scripts.step6.exports.tables import parquet, table
from workflow_scripts.step6.exports.timeline import Export


@dataclass(frozen=True)
class Format:
    """One format. `needs` it cannot be made without, `wants` it is made without (names of `material.NEEDS`, and text).

    `module` is what the environment must have to write it.
    """

    name: str
    suffix: str
    about: str
    write: Callable[[Export, Path], None]
    needs: frozenset[str] = frozenset()
    wants: frozenset[str] = frozenset()
    module: str | None = None


def _text(yield_parts: Callable[[Export], Iterator[str]]) -> Callable[[Export, Path], None]:
    """Make a writer of what yields a text in parts."""

    def write(export: Export, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(yield_parts(export))

    return write


_ALL = frozenset({"scenes", "speech", "tracks"})
_TRACKS, _SPEECH, _TEXT = frozenset({"tracks"}), frozenset({"speech"}), frozenset({"speech", "text"})

FORMATS = {
    made.name: made
    for made in (
        Format("otio", ".otio", "OpenTimelineIO: DaVinci Resolve 18.5, Premiere Pro 25, Avid, Nuke Studio", _text(otio), wants=_ALL),
        Format("edl", ".edl", "CMX 3600 edit decision list: every editing and grading program", _text(edl), wants=_ALL),
        Format("fcp7", ".xml", "Final Cut Pro 7 XML: Premiere Pro, DaVinci Resolve, Avid", _text(fcp7), wants=_ALL),
        Format("fcpxml", ".fcpxml", "FCPXML 1.9: Final Cut Pro, DaVinci Resolve", _text(fcpxml), wants=_ALL),
        Format("ae-json", ".ae.json", "JSON that After Effects expressions read", _text(ae_json), wants=_ALL),
        Format("mgjson", ".mgjson", "Motion graphics JSON: After Effects, data-driven animation", _text(mgjson), wants=_ALL),
        Format("jsx", ".jsx", "Script that builds After Effects compositions", _text(jsx), wants=_ALL),
        Format("srt", ".srt", "SubRip subtitles: every player and editing program", _text(srt), needs=_TEXT),
        Format("vtt", ".vtt", "WebVTT subtitles with speakers: browsers", _text(vtt), needs=_TEXT),
        Format("ass", ".ass", "Advanced SubStation Alpha subtitles: Aegisub, mpv, VLC", _text(ass), needs=_TEXT),
        Format("rttm", ".rttm", "Speaker turns: pyannote, dscore", _text(rttm), needs=_SPEECH),
        Format("mot", ".mot.txt", "MOTChallenge boxes: TrackEval", _text(mot), needs=_TRACKS),
        Format("coco", ".coco.json", "COCO detections: FiftyOne, Label Studio, CVAT", _text(coco), needs=_TRACKS),
        Format("cvat", ".cvat.xml", "CVAT for video 1.1", _text(cvat), needs=_TRACKS),
        Format("csv", ".csv", "Shots and markers as a table: spreadsheets", _text(table), wants=_ALL),
        Format("parquet", ".parquet", "Every box of every frame (zstd): DuckDB, pandas, Polars", parquet, needs=_TRACKS, wants=frozenset({"scenes"}), module="duckdb"),
    )
}  # fmt: skip
"""Every format, by its name."""
