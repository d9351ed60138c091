"""Tables: shots and markers as CSV for people, every box of every frame as Parquet for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.step6.exports.timeline import Export

_HEAD = (
    "kind", "number", "name", "start_frame", "end_frame", "start_seconds", "end_seconds", "start_timecode", "end_timecode",
    "note",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@")


def table(export: Export) -> Iterator[str]:
    """Yield CSV in UTF-8 with a mark that spreadsheets look for: frames count from 0, ends are not included.

    What a spreadsheet would take as a formula has a `'` before it.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_HEAD)
    grid = export.grid
    for kind in ("shot", "speaker", "person"):
        for number, span in enumerate((span for span in export.spans if span.kind == kind), 1):
            ends = span.start, span.end
            seconds = [f"{float(grid.seconds(end)):.6f}" for end in ends]
            timecodes = [str(grid.timecode(end)) for end in ends]
            writer.writerow([kind, number, _harmless(span.name), *ends, *seconds, *timecodes, _harmless(span.note)])
    yield "\ufeff" + buffer.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def parquet(export: Export, path: Path) -> None:
    """Write a row a box, compressed with zstd: frame of the proxy and of the medium, seconds, shot, track, person, place."""
    import duckdb  # here, since no other format needs it
    import numpy as np

    tracks, kinds = export.tracks, list(zip(*export.tracks.kinds, strict=True)) or [()] * 4
    frames, kind = np.asarray(tracks.frame), np.asarray(tracks.kind)
    positions = np.array(export.positions, "q")[frames]
    starts = np.array([shot.start for shot in export.shots], "q")
    texts = dict(zip(("track", "label", "source", "person"), (np.array(column, "O") for column in kinds), strict=True))
    rows: dict[str, Any] = {
        "proxy_frame": frames, "frame": positions, "seconds": positions * float(1 / export.grid.rate),
        "shot": np.searchsorted(starts, positions, "right"), **{name: column[kind] for name, column in texts.items()},
        "left": np.asarray(tracks.left), "top": np.asarray(tracks.top), "width": np.asarray(tracks.width),
        "height": np.asarray(tracks.height), "confidence": np.asarray(tracks.confidence), "speaking": np.asarray(tracks.speaking),
    }  # fmt: skip
    try:
        with duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": "1"}) as connection:
            connection.register("boxes", rows)
            connection.execute(
                f"COPY (SELECT {_COLUMNS} FROM boxes) TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)]
            )
    except duckdb.IOException as error:  # as the other formats say it
        raise OSError(str(error)) from error


_COLUMNS = """
    proxy_frame::INTEGER AS proxy_frame, frame::BIGINT AS frame, seconds::DOUBLE AS seconds, shot::INTEGER AS shot,
    track::VARCHAR AS track, label::VARCHAR AS label, source::VARCHAR AS source, nullif(person::VARCHAR, '') AS person,
    "left"::REAL AS "left", top::REAL AS top, width::REAL AS width, height::REAL AS height, confidence::REAL AS confidence,
    speaking::BOOLEAN AS speaking
"""
