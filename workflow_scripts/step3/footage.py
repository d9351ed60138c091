"""The frames of a proxy, each under its own number even where some cannot be decoded, and where those are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from workflow_scripts.stepkit import ItemError, media
from workflow_scripts.stepkit.timebase import PROXY_RATE, clock, frame_time

_LOST, _TORN, _WHOLE = range(3)
_SHOWN = 5
"""Stretches that a warning names; the JSON file has all."""
_FIRST_PACKETS = 32
"""Among so many packets the first frame to be shown is stored: H.264 reorders 16 at most."""
_DISCARDED = 4
"""AV_PKT_FLAG_DISCARD: what an edit list leaves out."""
_CORRUPT = "corrupt decoded frame"
_DECODED = re.compile(r"decoder -> .*?pts:(-?\d+)")
"""What ffmpeg 4 to 9 says of each decoded frame with `-debug_ts`, right after it complained of that frame."""


@dataclass(frozen=True)
class Damage:
    """Frames that cannot be decoded (`lost`) and frames that show damage (`torn`), as half-open intervals in order."""

    lost: Sequence[tuple[int, int]]
    torn: Sequence[tuple[int, int]]

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Both, in order, those that touch as one."""
        joined: list[tuple[int, int]] = []
        for first, after in sorted([*self.lost, *self.torn]):
            touches = bool(joined) and joined[-1][1] == first
            joined.append((joined.pop()[0] if touches else first, after))
        return joined

    def sentence(self, total: int) -> str:
        """Say to a person how many of a video's `total` frames are damaged, and where. Frames count from 1 here."""
        places = [f"{_numbers(first, after)} at {clock(frame_time(first))}" for first, after in self.stretches[:_SHOWN]]
        more = len(self.stretches) - len(places)
        where = ", ".join(places) + (f" and {more} more stretches" if more else "")
        return (
            f"{_count(self.lost)} of {total} frames cannot be decoded and {_count(self.torn)} show damage: {where}. The frame "
            "before stands for a lost one. All other frames keep their numbers; a cut in or beside damage may be wrong."
        )


def _numbers(first: int, after: int) -> str:
    return f"frame {first + 1}" if after == first + 1 else f"frames {first + 1} to {after}"


def _count(stretches: Iterable[tuple[int, int]]) -> int:
    return sum(after - first for first, after in stretches)


@dataclass(frozen=True)
class Footage:
    """A proxy: the ffmpeg that decodes it, with how many threads (0: as ffmpeg likes), and the frames it has by STEP2's count."""

    binary: Path
    path: Path
    frames: int
    threads: int = 0

    def decoded(
        self, width: int, height: int, scaler: str, on_damage: Callable[[str], object] | None = None
    ) -> Generator[bytes, None, None]:
        """Yield its frames as rgb24 of this size. Raises ItemError when there are others than STEP2 counted; see `survey` then.

        `on_damage` gets what ffmpeg complained of, before that error if there is one.
        """
        stored = media.decode_frames(
            self.binary, self.path, width, height, "rgb24", scaler=scaler, threads=self.threads, on_damage=on_damage
        )
        with closing(stored):
            yield from exactly(stored, self.frames)

    def placed(self, width: int, height: int, scaler: str) -> Generator[bytes, None, None]:
        """Yield as many frames as STEP2 counted, each in its place by its time; for a lost one the one before comes again.

        Raises ItemError when none can be decoded.
        """
        stored = media.decode_frames(
            self.binary, self.path, width, height, "rgb24", scaler=scaler, threads=self.threads, begins=self._begins()[1]
        )  # fmt: skip
        with closing(stored):
            yield from filled(stored, self.frames)

    def survey(self, on_frame: Callable[[], object]) -> Damage | None:
        """Decode it once more, and return which of its frames are damaged; None when not one can be decoded.

        `on_frame` is called for each that can be.
        """
        first, _, unit = self._begins()
        state = bytearray(self.frames)
        for pts, is_torn in self._stamps():
            on_frame()
            number = round((pts - first) * unit * PROXY_RATE)
            if 0 <= number < self.frames:
                state[number] = _TORN if is_torn else _WHOLE
        return Damage(_stretches(state, _LOST), _stretches(state, _TORN)) if any(state) else None

    def _begins(self) -> tuple[int, Fraction, Fraction]:
        """Return when the first frame is shown, in the stream's units and in seconds, and the unit in seconds.

        The container lists it, whether it can be decoded or not (`-copyinkf`: whether it looks like a keyframe or not).
        """
        command = [
            *self._command("error", "-copyts"), "-c", "copy", "-copyinkf", "-frames:v", str(_FIRST_PACKETS), "-f", "framecrc", "pipe:1",
        ]  # fmt: skip
        listed = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        ).stdout
        unit = re.search(r"^#tb 0: (\d+/\d+)$", listed, re.MULTILINE)
        packets = [line.split(",") for line in listed.splitlines() if line and not line.startswith("#")]
        shown = [int(packet[2]) for packet in packets if not _flags(packet) & _DISCARDED]
        if not unit or not shown:
            raise ItemError("decode_failed", f"{self.path.name} has no frames that its container lists.", _REMEDY)
        return min(shown), min(shown) * Fraction(unit[1]), Fraction(unit[1])

    def _stamps(self) -> Iterator[tuple[int, bool]]:
        """Yield the time of each frame that can be decoded, in the stream's units, and whether it shows damage."""
        # One thread: with more a decoder tells of some damaged frames only.
        command = [
            *self._command("info", "-debug_ts", "-copyts", "-max_error_rate", "1", "-threads", "1"),
            "-f",
            "null",
            "-",
        ]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process:  # fmt: skip
            assert process.stderr is not None
            try:
                is_torn = False
                for line in process.stderr:
                    if _CORRUPT in line:
                        is_torn = True
                    elif decoded := _DECODED.search(line):
                        yield int(decoded[1]), is_torn
                        is_torn = False
                if process.wait() < 0:  # killed: what it did not come to is not damaged
                    raise ItemError(
                        "decode_failed", f"ffmpeg was killed while it decoded {self.path.name}.", "Try again."
                    )
            finally:
                process.kill()

    def _command(self, level: str, *before: str) -> list[str]:
        return [
            str(self.binary), "-nostdin", "-hide_banner", "-nostats", "-v", level, *before, "-i", media.input_url(self.path),
            "-map", "0:v:0",
        ]  # fmt: skip


_REMEDY = "Run STEP2 on it again with --force."


def _flags(packet: Sequence[str]) -> int:
    """Return a packet's flags, which ffmpeg lists where they are others than `key frame`."""
    return next((int(value.strip()[2:], 16) for value in packet[6:] if value.strip().startswith("F=")), 1)


def _stretches(state: Sequence[int], wanted: int) -> list[tuple[int, int]]:
    found, at = [], 0
    for value, run in groupby(state):
        after = at + sum(1 for _ in run)
        if value == wanted:
            found.append((at, after))
        at = after
    return found


def exactly(frames: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Pass frames on. Raises ItemError at their end when they are not as many as STEP2 found, or none at all."""
    count = 0
    for frame in frames:
        count += 1
        yield frame
    if count != total or not count:
        raise ItemError("frame_count", f"The video has {count} frames, and STEP2 recorded {total}.", _REMEDY)


def filled(frames: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Pass `total` frames on; where they end earlier, the last one again and again. Raises ItemError when there is none."""
    count, frame = 0, None
    for frame in frames:
        if count == total:
            return
        count += 1
        yield frame
    if frame is None:
        raise ItemError("decode_failed", "Not one frame can be decoded.", _REMEDY)
    for _ in range(count, total):
        yield frame
