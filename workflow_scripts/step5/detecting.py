"""What a worker does: it decodes a stretch of a video and says what an engine sees in each of its frames.

Detection knows nothing of the frames before, so a video may be cut anywhere; tracks are made of the detections afterwards, in
one process and in order. So the number of workers cannot change what is written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from workflow_scripts.step5 import appearance, frames
from workflow_scripts.step5.detections import Detections, Frame
from workflow_scripts.step5.engines import Engine, OutOfMemory
from workflow_scripts.stepkit import ItemError, media
from workflow_scripts.stepkit.media import Entry, FrameIndex

LEAST_SIDE = 1280
"""Frames are decoded at this size at least, in pixels of the longer side, or at their own: faces are also looked at for who
they are and whether their mouth moves, which takes more pixels than finding them."""
LONGEST = 400
SHORTEST = 100
"""Frames of a stretch: long enough to be worth starting a decoder, short enough for workers to end together."""


@dataclass(frozen=True)
class Footage:
    """A video to be looked at: its proxy's path, frames and size in pixels, and how it is decoded.

    `side` is the longer side, in pixels, that it is decoded to; `threads` are the decoder's, 0 leaves it to ffmpeg.
    """

    binary: Path
    path: Path
    frames: int
    width: int
    height: int
    side: int
    threads: int = 0

    @property
    def picture(self) -> tuple[int, int]:
        """Width and height of the decoded pictures."""
        scale = min(1.0, self.side / max(self.width, self.height))
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


@dataclass(frozen=True)
class Stretch:
    """Frames `first` to `end` (0-based, half-open) of a video.

    `entry` is where to begin decoding, None is its beginning; `until` is that of `end`, None is the video's end. So a frame that
    is missing in a damaged video moves no other out of its place.
    """

    first: int
    end: int
    entry: Entry | None = None
    until: Entry | None = None


def stretches(index: FrameIndex, workers: int) -> list[Stretch]:
    """Cut a video where it can be entered, into about as many parts for each worker, none much longer than LONGEST.

    One worker takes a short video alone. One alone has the whole video as a stretch, as has a video that cannot be entered.
    """
    if workers == 1:
        return [Stretch(0, index.frames)]
    rounds = max(1, round(index.frames / (workers * LONGEST)))
    wanted = max(SHORTEST, -(-index.frames // (workers * rounds)))
    starts = [0]
    for target in range(wanted, index.frames, wanted):
        nearest = min(index.entries, key=lambda frame: (abs(frame - target), frame), default=0)
        if nearest - starts[-1] >= SHORTEST // 2:
            starts.append(nearest)
    ends = [*starts[1:], index.frames]
    return [
        Stretch(first, end, index.entries[first] if first else None, index.entries.get(end))
        for first, end in zip(starts, ends, strict=True)
    ]


@dataclass
class Detector:
    """An engine, and how many frames it is given at once: fewer, and at last on the CPU, when its device has no room.

    `notes` are sentences about that, for a person.
    """

    engine: Engine
    notes: list[str] = field(default_factory=list)
    batch: int = 0

    def __post_init__(self) -> None:
        self.batch = self.batch or self.engine.batch

    def detect(self, pictures: Sequence[Frame]) -> list[Detections]:
        """Return what is seen in each picture. Raises OutOfMemory when there is no room for one, on the CPU."""
        seen: list[Detections] = []
        while len(seen) < len(pictures):
            try:
                seen += self.engine.detect_all(pictures[len(seen) : len(seen) + self.batch])
            except OutOfMemory:
                if not self._asks_for_less():
                    raise
        return seen

    def _asks_for_less(self) -> bool:
        """Take fewer frames at once, or the CPU; False when there is nothing less."""
        if self.batch > 1:
            self.batch //= 2
            self.notes.append(f"The GPU has no room for {2 * self.batch} frames at once: {self.batch} from here on.")
        elif self.engine.to_cpu():
            self.notes.append("The GPU has no room for a single frame: the CPU from here on.")
        else:
            return False
        return True


@dataclass
class Seen:
    """What is seen in some frames that follow one another, and the seconds that took, by what they went into."""

    frames: list[Detections]
    seconds: Counter[str]


def look(
    detector: Detector, footage: Footage, stretch: Stretch, on_damage: Callable[[str], object] = lambda _: None
) -> Iterator[Seen]:
    """Yield what is seen in a stretch, some frames at a time; `on_damage` hears what ffmpeg complained of while it went on.

    Raises ItemError `decode_failed` when ffmpeg ends in an error, `frame_count` when the video's frames are not as many as
    was recorded.
    """
    width, height = footage.picture
    decoded = media.decode_frames(
        footage.binary, footage.path, width, height, "bgr24",
        entry=stretch.entry, until=stretch.until, threads=footage.threads, on_damage=on_damage,
    )  # fmt: skip
    counted = frames.exactly(decoded, stretch.first, stretch.end, footage.frames)
    number = stretch.first
    with closing(decoded), closing(frames.one_ahead(frames.batches(counted, detector.batch))) as ahead:
        started = time.perf_counter()
        for raw in ahead:
            pictures = [frames.as_picture(frame, width, height) for frame in raw]
            decoded_at = time.perf_counter()
            found = _detected(detector, pictures)
            detected_at = time.perf_counter()
            told = [
                _told(picture, seen, at, footage)
                for at, (picture, seen) in enumerate(zip(pictures, found, strict=True), number)
            ]
            number += len(told)
            ended = time.perf_counter()
            spent = {"decode": decoded_at - started, "detect": detected_at - decoded_at, "looks": ended - detected_at}
            yield Seen(told, Counter(spent))
            started = time.perf_counter()


def _detected(detector: Detector, pictures: Sequence[Frame]) -> list[Detections]:
    try:
        return detector.detect(pictures)
    except OutOfMemory as error:
        raise ItemError(
            "out_of_memory", f"There is no memory for a single frame: {error}",
            "Lower TRACKING_CPU_WORKERS, or choose an engine that needs less.",
        ) from error  # fmt: skip


def _told(picture: Frame, seen: Detections, number: int, footage: Footage) -> Detections:
    """Add what things look like, and give their places in pixels of the proxy."""
    looked = appearance.with_looks(picture, seen, number)
    if footage.picture == (footage.width, footage.height):
        return looked
    across, down = footage.width / footage.picture[0], footage.height / footage.picture[1]
    landmarks = seen.landmarks
    if landmarks is not None:
        landmarks = landmarks * np.array([across, down, across], np.float32)
    return replace(looked, boxes=seen.boxes * np.array([across, down] * 2, np.float32), landmarks=landmarks)
