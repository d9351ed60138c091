"""A preview of a video's tracking: its proxy with boxes, ids, names and who speaks, as H.264 with the proxy's sound.

Frames are decoded, drawn on and encoded one after the other: memory is that of a few frames, however long the video.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from workflow_scripts.step5 import frames
from workflow_scripts.step5.drawing import Shown, can_write, draw
from workflow_scripts.step5.scenes import Scene, read_scenes
from workflow_scripts.step5.tracking_file import SCHEMA
from workflow_scripts.stepkit import ItemError, media
from workflow_scripts.stepkit.files import publish
from workflow_scripts.stepkit.projects import SourceFacts, Video
from workflow_scripts.stepkit.timebase import PROXY_RATE
from workflow_scripts.stepkit.timecode import Timecode

_REMEDY = "Run STEP5 on this video again with --force."
_ENCODE_REMEDY = "Free space, choose another place with --output, or name an ffmpeg with libx264 in FFMPEG_BINARY."
_TAIL = 2000
_LONGEST_NAME = 60
_COLOURS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")


@dataclass(frozen=True)
class Order:
    """What to make: a preview of a video at `output`, `scale` times the proxy's size; `force` replaces another file."""

    video: Video
    output: Path
    scale: float = 1.0
    force: bool = False


def preview(binary: Path, order: Order, names: Mapping[str, str], on_frame: Callable[[int, int], object]) -> None:
    """Make a preview; it appears whole or not at all. `names` are what people call the project's persons, by key.

    `on_frame` hears how many frames of how many are done. Raises ItemError for what is missing or damaged, for a file that is there
    already, and when ffmpeg fails.
    """
    refuse_taken(order)
    video, facts = order.video, order.video.facts()
    width, height = _even(facts.width * order.scale), _even(facts.height * order.scale)
    scenes = read_scenes(video.artefact("_scenes.json"), facts.frames)
    decoded = media.decode_frames(binary, video.proxy, width, height, "bgr24")
    order.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = order.output.with_name(f".{order.output.name}.{os.getpid()}.tmp")
    try:
        with closing(decoded), _encoder(binary, video.proxy, width, height, temporary) as write:
            pictures = frames.exactly(decoded, 0, facts.frames, facts.frames)
            records = read_frames(video.artefact("_tracking_raw.jsonl"), facts.frames)
            for number, (raw, record) in enumerate(zip(pictures, records, strict=True)):
                picture = frames.as_picture(raw, width, height).copy()
                things, unseen = drawn_of(record, names, width / facts.width, height / facts.height)
                draw(picture, things, corner(number, scenes), unseen)
                write(picture.tobytes())
                on_frame(number + 1, facts.frames)
        _check(binary, temporary, facts)
        refuse_taken(order)
        publish(temporary, order.output)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def refuse_taken(order: Order) -> None:
    """Raise ItemError when there is something in the preview's place that is not to be replaced: a folder never is."""
    if order.output.is_dir():
        raise ItemError("not_a_file", f"{order.output} is a folder.", "Name another place with --output.")
    if os.path.lexists(order.output) and not order.force:
        raise ItemError("file_exists", f"{order.output} is there already.", "Say --force to replace it, or --output.")


def _even(pixels: float) -> int:
    """Return an even number of pixels: colours of H.264 4:2:0 cover two by two."""
    return max(2, 2 * round(pixels / 2))


def _check(binary: Path, path: Path, facts: SourceFacts) -> None:
    """Raise ItemError unless what was encoded has as many frames as the proxy."""
    found = media.index_frames(binary, path).frames
    if found != facts.frames:
        sentence = f"The preview has {found} frames, the proxy {facts.frames}."
        raise ItemError("encode_failed", sentence, "Try another ffmpeg: setting FFMPEG_BINARY.")


def read_frames(path: Path, total: int) -> Iterator[Mapping[str, Any]]:
    """Yield the frames of `<stem>_tracking_raw.jsonl` as they are needed.

    Raises ItemError `no_tracking` when it is missing, `bad_tracking` when it is damaged or of another video's length.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            header = json.loads(next(lines, "null"))
            if header["schema"] != SCHEMA or header["total_frames"] != total:
                raise ValueError(f"{header['schema']} of {header['total_frames']} frames, not {SCHEMA} of {total}")
            number = 0
            for number, line in enumerate(lines, 1):
                record = json.loads(line)
                if record["frame"] != number or number > total:
                    raise ValueError(f"frame {record['frame']} in the place of {number} of {total}")
                yield record
            if number != total:
                raise ValueError(f"{number} frames, not {total}")
    except FileNotFoundError as error:
        raise ItemError("no_tracking", f"{path.name} is missing.", "Run STEP5 on this video first.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path.name, error) from error


def _damaged(name: str, error: Exception) -> ItemError:
    return ItemError("bad_tracking", f"{name} is damaged ({error!r:.200}).", _REMEDY)


def drawn_of(
    record: Mapping[str, Any], names: Mapping[str, str], across: float, down: float
) -> tuple[list[Shown], str]:
    """Return what is drawn of a frame: things, and words about the voices that nobody in sight has (empty where there are none).

    `across` and `down` are the picture's pixels per pixel of the proxy. Raises ItemError `bad_tracking`.
    """
    try:
        return [_shown(one, names, across, down) for one in record["objects"]], _off_screen(record["active_speakers"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _damaged(f"frame {record['frame']} of the tracking", error) from error


def _shown(one: Mapping[str, Any], names: Mapping[str, str], across: float, down: float) -> Shown:
    left, top, width, height = map(float, one["bbox"])
    box = (left * across, top * down, (left + width) * across, (top + height) * down)
    if not all(map(math.isfinite, box)):
        raise ValueError(f"bbox {one['bbox']}")
    track, person = int(one["id"]), str(one["identity"]["person"]) if "identity" in one else ""
    name = " ".join(names.get(person, person or str(one["label"])).split())[:_LONGEST_NAME]
    speaks = one["is_speaking"] is True
    number = person.rpartition("_")[2]
    label = f"{track} {name if can_write(name) else person}{' speaks' if speaks else ''}"
    return Shown(box, label, int(number) if number.isdecimal() else track, speaks)


def _off_screen(speakers: Sequence[Mapping[str, Any]]) -> str:
    voices = [str(one["voice"] or "a voice") for one in speakers if one["id"] is None]
    return f"off screen: {', '.join(voices)[:_LONGEST_NAME]} speaks" if voices else ""


def corner(frame: int, scenes: Sequence[Scene]) -> str:
    """Return where a frame (0-based) is in its video, counted from 1 as in the artefacts."""
    number = bisect_right(scenes, frame, key=lambda scene: scene.start)
    timecode = Timecode(frame, int(PROXY_RATE))
    return f"scene {number}/{len(scenes)}  {timecode}  frame {frame + 1}"


@contextmanager
def _encoder(binary: Path, proxy: Path, width: int, height: int, path: Path) -> Iterator[Callable[[bytes], object]]:
    """Give what takes pictures (bgr24) one by one; on leaving they are encoded at `path`, with the proxy's sound.

    Raises ItemError `encode_failed`. Whatever ends the block ends ffmpeg.
    """
    command = [
        str(binary), "-nostdin", "-v", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", str(PROXY_RATE), "-i", "pipe:0",
        "-i", media.input_url(proxy), "-map", "0:v:0", "-map", "1:a:0?", "-map_metadata", "-1",
        "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", *_COLOURS,
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "copy", "-movflags", "+faststart", "-f", "mp4",
        media.input_url(path),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints)
        assert process.stdin is not None
        try:
            try:
                yield process.stdin.write
                process.stdin.close()
            except BrokenPipeError:
                pass  # it says why
            if process.wait() != 0:
                sentence = f"ffmpeg ended with code {process.returncode}: {_end_of(complaints)}"
                raise ItemError("encode_failed", sentence, _ENCODE_REMEDY)
        finally:
            process.kill()
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()


def _end_of(stream: IO[bytes]) -> str:
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
    return stream.read().decode("utf-8", "replace").strip()
