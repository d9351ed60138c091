"""What was seen in a video, as columns: a three-hour film with three faces throughout is 30 MB of memory."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from workflow_scripts.step6.broken import explained
from workflow_scripts.stepkit.errors import ItemError


@dataclass(frozen=True)
class Subject:
    """A track, or all tracks of one person: its name, what it is, and its rows in order."""

    name: str
    label: str
    rows: Sequence[int]


@dataclass
class Tracks:
    """Every object of every frame: a row each, by rising frame. Frames are 0-based ones of the proxy.

    `left`, `top`, `width` and `height` are pixels of a picture `size` large. `kinds` are the (id, label, source, person)
    that the numbers in `kind` stand for.
    """

    size: tuple[int, int] = (0, 0)
    frame: array[int] = field(default_factory=lambda: array("q"))
    kind: array[int] = field(default_factory=lambda: array("q"))
    left: array[float] = field(default_factory=lambda: array("d"))
    top: array[float] = field(default_factory=lambda: array("d"))
    width: array[float] = field(default_factory=lambda: array("d"))
    height: array[float] = field(default_factory=lambda: array("d"))
    confidence: array[float] = field(default_factory=lambda: array("d"))
    speaking: array[int] = field(default_factory=lambda: array("b"))
    kinds: list[tuple[str, str, str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frame)

    def middle(self, row: int) -> tuple[float, float]:
        """Return the middle of a box: x, y."""
        return self.left[row] + self.width[row] / 2, self.top[row] + self.height[row] / 2

    def extent(self, row: int) -> tuple[float, float]:
        """Return the size of a box: width, height."""
        return self.width[row], self.height[row]

    def numbers(self) -> dict[str, int]:
        """Return a whole number from 1 for each track, by its id, in order of appearance."""
        return {track: number for number, track in enumerate(dict.fromkeys(kind[0] for kind in self.kinds), 1)}

    def subjects(self, *, by_person: bool) -> list[Subject]:
        """Return the tracks in order of appearance; `by_person` takes those of one identity together."""
        rows: dict[str, array[int]] = {}
        labels: dict[str, str] = {}
        for row, number in enumerate(self.kind):
            track, label, _, person = self.kinds[number]
            name = person if by_person and person else f"{label} {track}"
            rows.setdefault(name, array("q")).append(row)
            labels.setdefault(name, label)
        return [Subject(name, labels[name], found) for name, found in rows.items()]

    def call(self, names: Mapping[str, str]) -> None:
        """Give persons their names; two of one name are one from now on."""
        self.kinds = [(track, label, source, names.get(person, person)) for track, label, source, person in self.kinds]

    def add(self, frame: int, seen: Any, known: dict[tuple[str, str, str, str], int]) -> None:
        """Append one object of a frame. Raises ValueError, KeyError, TypeError or AttributeError when it has another form."""
        identity = seen.get("identity")
        person = str(identity["person"]) if identity else ""
        kind = (str(seen["id"]), str(seen["label"]), str(seen["source"]), person)
        confidence = seen["confidence"]
        numbers = [float(number) for number in (*seen["bbox"], 1.0 if confidence is None else confidence)]
        if len(numbers) != 5 or not all(map(isfinite, numbers)):
            raise ValueError("an object's place is four numbers")
        if kind not in known:
            known[kind] = len(self.kinds)
            self.kinds.append(kind)
        self.frame.append(frame)
        self.kind.append(known[kind])
        self.speaking.append(bool(seen.get("is_speaking")))
        columns = self.left, self.top, self.width, self.height, self.confidence
        for column, number in zip(columns, numbers, strict=True):
            column.append(number)


def read_tracks(path: Path, frames: int, on_frame: Callable[[int], None]) -> Tracks:
    """Read `<stem>_tracking_raw.jsonl`; `on_frame` hears each frame's number.

    Raises ItemError, with the line, when a line has another form or a frame is missing or beyond `frames`.
    """
    known: dict[tuple[str, str, str, str], int] = {}
    with path.open("rb") as stream:
        number = 1
        try:
            header = _decoded(stream.readline())
            tracks = Tracks((int(header["width"]), int(header["height"])))
            for number, line in enumerate(stream, 2):
                frame = _decoded(line)
                if frame["frame"] != number - 1 or number - 1 > frames:
                    raise ValueError(f"frame {frame['frame']} stands where {number - 1} of {frames} belongs")
                for seen in frame["objects"]:
                    tracks.add(number - 2, seen, known)
                on_frame(number - 1)
            if min(tracks.size) < 1 or number - 1 != frames:
                raise ValueError(f"it holds {number - 1} of {frames} frames")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            sentence = f"{path.name} is broken at line {number}: {explained(error)}."
            raise ItemError("broken_tracking_raw", sentence, "Run STEP5 on this video again with --force.") from error
    return tracks


def _decoded(line: bytes) -> Any:
    return _decoder.decode(line.decode("utf-8"))


def _not_a_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


_decoder = json.JSONDecoder(parse_constant=_not_a_number)
