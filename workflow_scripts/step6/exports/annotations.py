"""Boxes for those who train and judge trackers: MOTChallenge, COCO, CVAT. Pixels are the medium's, upright.

A frame is a position. Where several of the proxy's frames show one of the medium's, the first of them counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from workflow_scripts.step6.exports.timeline import Export, plain
from workflow_scripts.step6.exports.xml_text import HEAD, Writer


def _seen(export: Export) -> Iterator[tuple[int, int]]:
    """Yield each row with its position, without the proxy's frames that show again what one before them showed."""
    shown = export.positions
    for row, frame in enumerate(export.tracks.frame):
        if frame == 0 or shown[frame] != shown[frame - 1]:
            yield row, shown[frame]


def mot(export: Export) -> Iterator[str]:
    """Yield `frame,id,left,top,width,height,confidence,-1,-1,-1`, a line a box; frames and ids are counted from 1."""
    tracks, numbers = export.tracks, export.tracks.numbers()
    for row, position in _seen(export):
        track = numbers[tracks.kinds[tracks.kind[row]][0]]
        box = f"{tracks.left[row]:.2f},{tracks.top[row]:.2f},{tracks.width[row]:.2f},{tracks.height[row]:.2f}"
        yield f"{position + 1},{track},{box},{tracks.confidence[row]:.4f},-1,-1,-1\n"


def coco(export: Export) -> Iterator[str]:
    """Yield COCO's detection format; images are frames that hold something, named `<video>_<position>.jpg`."""
    tracks, medium = export.tracks, export.medium
    labels = {label: number for number, label in enumerate(dict.fromkeys(kind[1] for kind in tracks.kinds), 1)}
    categories = [{"id": number, "name": plain(label)} for label, number in labels.items()]
    facts = {"description": export.name, "version": "1.0"}
    yield f'{{"info": {_json(facts)},\n"licenses": [],\n"categories": {_json(categories)},\n"images": ['
    before = ""
    for position in sorted({position for _, position in _seen(export)}):
        image = {"id": position + 1, "file_name": f"{export.name}_{position:06d}.jpg", "width": medium.width, "height": medium.height}  # fmt: skip
        yield f"{before}\n{_json(image)}"
        before = ","
    yield '\n],\n"annotations": ['
    numbers, before = tracks.numbers(), ""
    for number, (row, position) in enumerate(_seen(export), 1):
        track, label, _, _ = tracks.kinds[tracks.kind[row]]
        width, height = round(tracks.width[row], 2), round(tracks.height[row], 2)
        box = [round(tracks.left[row], 2), round(tracks.top[row], 2), width, height]
        annotation = {
            "id": number, "image_id": position + 1, "category_id": labels[label], "bbox": box, "area": round(width * height, 2),
            "iscrowd": 0, "score": round(tracks.confidence[row], 4), "track_id": numbers[track],
        }  # fmt: skip
        yield f"{before}\n{_json(annotation)}"
        before = ","
    yield "\n]}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def cvat(export: Export) -> Iterator[str]:
    """Yield CVAT's video format 1.1: a track each, its boxes by frame (from 0)."""
    xml, tracks, medium = Writer(), export.tracks, export.medium
    subjects = tracks.subjects(by_person=False)
    positions = dict(_seen(export))
    yield HEAD
    with xml.element("annotations"):
        xml.leaf("version", "1.1")
        with xml.element("meta"), xml.element("task"):
            xml.leaf("name", export.name)
            xml.leaf("size", medium.frames)
            xml.leaf("mode", "interpolation")
            xml.leaf("start_frame", 0)
            xml.leaf("stop_frame", medium.frames - 1)
            with xml.element("labels"):
                for label in dict.fromkeys(subject.label for subject in subjects):
                    with xml.element("label"):
                        xml.leaf("name", plain(label))
                        xml.leaf("attributes", "")
            with xml.element("original_size"):
                xml.leaf("width", medium.width)
                xml.leaf("height", medium.height)
        for number, subject in enumerate(subjects):
            rows = [row for row in subject.rows if row in positions]
            with xml.element("track", id=number, label=plain(subject.label), source="automatic"):
                for row, after in zip(rows, [*rows[1:], None], strict=True):
                    _box(xml, export, row, positions[row], outside=0)
                    if _is_last(export, row, after) and positions[row] + 1 < _next(export, positions, after):
                        _box(xml, export, row, positions[row] + 1, outside=1)
            yield xml.take()
    yield xml.take()


def _is_last(export: Export, row: int, after: int | None) -> bool:
    """Tell whether a gap follows: then the box is ended, else it would stand still until the next one."""
    frame = export.tracks.frame
    return after is None or export.positions[frame[after] - 1] > export.positions[frame[row]]


def _next(export: Export, positions: dict[int, int], after: int | None) -> int:
    return export.medium.frames if after is None else positions[after]


def _box(xml: Writer, export: Export, row: int, frame: int, *, outside: int) -> None:
    tracks = export.tracks
    left, top = tracks.left[row], tracks.top[row]
    right, bottom = left + tracks.width[row], top + tracks.height[row]
    xml.ready(
        f'<box frame="{frame}" outside="{outside}" occluded="0" keyframe="1" xtl="{left:.2f}" ytl="{top:.2f}" '
        f'xbr="{right:.2f}" ybr="{bottom:.2f}" z_order="0"/>'
    )
