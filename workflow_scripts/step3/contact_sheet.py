"""The contact sheet: each shot's first, middle and last frame, as one JPEG and as a page that a browser opens alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from workflow_scripts.step3.shots import Shot
from workflow_scripts.stepkit.timebase import clock, frame_time

MOST_SHOTS = 2000
"""Further shots are left out: the picture has at most 334 rows of them."""
_WIDTH = 96
_TALLEST = 180
"""Height of a small picture at most: with it 334 rows and their gaps stay below the 65,500 pixels that a JPEG can have."""
_FRAMES = 3
_SHOTS_A_ROW = 6
_GAP = 6


@dataclass(frozen=True)
class Sheet:
    """The size of one small picture, in pixels, and the shots that are on the sheet."""

    width: int
    height: int
    shots: Sequence[Shot]

    def place(self, number: int, frame: int) -> tuple[int, int]:
        """Return the left upper corner of a shot's (from 0) first, middle or last frame (0, 1, 2)."""
        column, row = number % _SHOTS_A_ROW, number // _SHOTS_A_ROW
        return column * (_FRAMES * self.width + _GAP) + frame * self.width, row * (self.height + _GAP)

    @property
    def size(self) -> tuple[int, int]:
        """The whole picture's width and height, in pixels."""
        columns, rows = min(len(self.shots), _SHOTS_A_ROW), -(-len(self.shots) // _SHOTS_A_ROW)
        return columns * (_FRAMES * self.width + _GAP) - _GAP, rows * (self.height + _GAP) - _GAP


def sheet_of(shots: Sequence[Shot], width: int, height: int) -> Sheet:
    """Lay out the shots of a video of this size in pixels."""
    return Sheet(_WIDTH, min(_TALLEST, max(2, round(_WIDTH * height / width / 2) * 2)), shots[:MOST_SHOTS])


def draw(sheet: Sheet, frames: Iterable[bytes]) -> bytes:
    """Return the sheet as JPEG; `frames` are all frames of the video in the sheet's small size, rgb24."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for number, shot in enumerate(sheet.shots):
        last = shot.end_frame - 1
        for place, index in enumerate((shot.start_frame, (shot.start_frame + last) // 2, last)):
            wanted.setdefault(index, []).append(sheet.place(number, place))
    picture = Image.new("RGB", sheet.size, "white")
    for index, frame in enumerate(frames):
        for corner in wanted.get(index, ()):
            picture.paste(Image.frombytes("RGB", (sheet.width, sheet.height), frame), corner)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=80)
    return written.getvalue()


def page(name: str, sheet: Sheet, total: int, jpeg: bytes) -> str:
    """Return the page of the video file `name`, which has `total` shots; the picture is in it."""
    shown = f"{total} shots" if total == len(sheet.shots) else f"the first {len(sheet.shots)} of {total} shots"
    rows = "\n".join(_row(number, shot, sheet) for number, shot in enumerate(sheet.shots))
    encoded = base64.b64encode(jpeg).decode("ascii")
    return _PAGE.format(
        name=escape(name), shown=shown, rows=rows, picture=encoded, width=sheet.width, height=sheet.height
    )


def _row(number: int, shot: Shot, sheet: Sheet) -> str:
    first, last = shot.start_frame, shot.end_frame - 1
    pictures = "".join(
        f'<i style="background-position:-{left}px -{top}px"></i>'
        for left, top in (sheet.place(number, frame) for frame in range(_FRAMES))
    )
    return (
        f"<tr><td>{number + 1}<td class=p>{pictures}<td>{clock(frame_time(first))}<br>{clock(frame_time(last))}"
        f"<td>{first + 1}–{last + 1}<td>{last - first + 1}<td>{_transition(shot)}"
    )


def _transition(shot: Shot) -> str:
    transition = shot.transition_in
    if transition is None:
        return "start"
    extent = ""
    if transition.kind == "gradual":
        extent = f", frames {transition.first_frame + 1}–{transition.last_frame + 1}"
    return f"{transition.kind}, {transition.confidence:.0%}{extent}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; color: #222; background: #fff; margin: 2em auto; max-width: 60em; padding: 0 1em }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; padding: 4px 8px; border-bottom: 1px solid #ddd; vertical-align: middle }}
.p {{ white-space: nowrap; font-size: 0 }}
i {{ display: inline-block; width: {width}px; height: {height}px; background-image: url(data:image/jpeg;base64,{picture}) }}
</style></head><body>
<h1>{name}</h1>
<p>{shown}. Frames are those of the 25 fps proxy, counted from 1.</p>
<table><thead><tr><th>Shot<th>First, middle, last frame<th>From, to<th>Frames<th>Length<th>Begins with</thead><tbody>
{rows}
</tbody></table></body></html>
"""
