"""What the steps found out about a video, read for an export; what is missing is said with its remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import ijson

from workflow_scripts.step6.exports.names import read_names
from workflow_scripts.step6.exports.timeline import Words, plain
from workflow_scripts.step6.exports.tracks import Tracks, read_tracks
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.original import Original, read_original
from workflow_scripts.stepkit.projects import Video

NEEDS: Mapping[str, tuple[str, str]] = {
    "scenes": ("_scenes.json", "STEP3"),
    "speech": ("_audio_raw.json", "STEP4"),
    "tracks": ("_tracking_raw.jsonl", "STEP5"),
}
"""What a format may want beside the source's facts: how the artefact's name ends, and who makes it."""


@dataclass(frozen=True)
class Facts:
    """What `<stem>_source.json` says. Sizes are pixels: the original's upright, and the proxy's."""

    original: Original
    duration: Fraction
    original_path: PurePosixPath
    original_size: tuple[int, int]
    proxy_frames: int
    proxy_size: tuple[int, int]
    audio_channels: int
    audio_rate: int


@dataclass(frozen=True)
class Scene:
    """A shot: proxy frames, half-open, and how it begins, for a person."""

    start: int
    end: int
    note: str


@dataclass(frozen=True)
class Speech:
    """Who speaks when, and what, in milliseconds of the proxy. `has_text` is false where the engine makes no transcript."""

    turns: tuple[Words, ...] = ()
    lines: tuple[Words, ...] = ()
    has_text: bool = True


@dataclass(frozen=True)
class Material:
    """Everything about a video; `missing` says what is not there and what to do about it."""

    video: Video
    facts: Facts
    scenes: tuple[Scene, ...]
    speech: Speech
    tracks: Tracks
    missing: Mapping[str, ItemError]


def read_material(video: Video, wanted: frozenset[str], on_frame: Callable[[int], None]) -> Material:
    """Read of a video what is `wanted` of NEEDS; `on_frame` hears frames of the tracking.

    Raises ItemError when its source's facts cannot be read: nothing can be said without them.
    """
    facts, names = read_facts(video), read_names(video.project)
    frames, missing = facts.proxy_frames, {}
    scenes, speech, tracks = (Scene(0, frames, ""),), Speech(), Tracks(facts.proxy_size)
    readers: dict[str, Callable[[Path], Any]] = {
        "scenes": lambda path: read_scenes(path, frames),
        "speech": lambda path: _speech(path, frames, names),
        "tracks": lambda path: read_tracks(path, frames, on_frame),
    }
    found: dict[str, Any] = {}
    for need in sorted(wanted):
        suffix, step = NEEDS[need]
        path = video.artefact(suffix)
        try:
            if not path.is_file():
                raise ItemError(f"no_{need}", f"{path.name} is not there.", f"Run {step} on this video first.")
            found[need] = readers[need](path)
        except ItemError as error:
            missing[need] = error
    found.get("tracks", tracks).call(names)
    read = found.get("speech", speech)
    if "speech" in found and not read.has_text:
        remedy = "Give STEP4 an engine that transcribes, such as Lemonfox (LEMONFOX_API_KEY), and run it again."
        missing["text"] = ItemError("no_text", f"{video.stem} has no transcript.", remedy)
    return Material(video, facts, found.get("scenes", scenes), read, found.get("tracks", tracks), missing)


def read_facts(video: Video) -> Facts:
    """Read `<stem>_source.json`. Raises ItemError when STEP2 has not finished with the video, or the file is damaged."""
    path = video.artefact("_source.json")
    original = read_original(path)
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        delivered, picture, proxy = known["original"], known["original"]["video"], known["proxy"]
        width, height = int(picture["width"]), int(picture["height"])
        turned = int(picture.get("rotation") or 0) % 180 != 0
        sound, below = delivered.get("audio") or {}, PurePosixPath(delivered["path"])
        if below.is_absolute() or ".." in below.parts or int(proxy["frames"]) != original.frame_map.proxy_frames:
            raise ValueError("what it says of the original contradicts itself")
        if min(width, height, int(proxy["width"]), int(proxy["height"])) < 1:
            raise ValueError("a picture has no size")
        channels = int(sound["channels"]) * len(sound.get("tracks") or [0]) if sound else 0
        return Facts(
            original, Fraction(delivered["duration"]), below, (height, width) if turned else (width, height),
            int(proxy["frames"]), (int(proxy["width"]), int(proxy["height"])), channels, int(sound.get("rate") or 48000),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, AttributeError) as error:
        raise ItemError(
            "no_source_facts", f"{path.name} is missing or damaged ({error!r}).", "Run STEP2 on this project first."
        ) from error


def read_scenes(path: Path, frames: int) -> tuple[Scene, ...]:
    """Read `<stem>_scenes.json`. Raises ItemError when its shots do not follow each other from the first frame to the last."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["scenes"]
        scenes = tuple(
            Scene(scene["start_frame"], scene["end_frame"], _note(scene.get("transition_in"))) for scene in listed
        )
        ends = [0, *(scene.end for scene in scenes)]
        is_whole = ends[-1] == frames and all(
            isinstance(it, int) for scene in scenes for it in (scene.start, scene.end)
        )
        if not is_whole or any(
            scene.start != end or scene.end <= end for scene, end in zip(scenes, ends, strict=False)
        ):
            raise ValueError(f"its shots do not fill the {frames} frames")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        remedy = "Run STEP3 on this video again with --force."
        raise ItemError("broken_scenes", f"{path.name} is damaged ({error!r}).", remedy) from error
    return scenes


def _note(transition: Any) -> str:
    if not isinstance(transition, dict) or transition.get("type") != "gradual":
        return ""
    return plain(f"gradual transition, proxy frames {transition.get('first_frame')} to {transition.get('last_frame')}")


def _speech(path: Path, frames: int, names: Mapping[str, str]) -> Speech:
    """Read the head of `<stem>_audio_raw.json`. Raises ItemError when it is not JSON, or a time is none."""
    try:
        said = {key: value for key, value in _head(path, "frames_analysis") if key in _SAID}
        length = frames * 40
        turns = tuple(_words(passage, names, length) for passage in said["turns"])
        lines = tuple(_words(passage, names, length) for passage in said.get("segments", ()))
    except (OSError, ijson.JSONError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        remedy = "Run STEP4 on this video again with --force."
        raise ItemError("broken_audio_raw", f"{path.name} is damaged ({error!r}).", remedy) from error
    has_text = said.get("text") is not None or bool(lines) or said.get("audio") == "none"
    return Speech(_kept(turns), _kept(lines), has_text)


_SAID = ("audio", "text", "turns", "segments")


def _kept(words: tuple[Words, ...]) -> tuple[Words, ...]:
    """Return what lasts, by its beginning."""
    return tuple(sorted((each for each in words if each.end > each.start), key=lambda each: (each.start, each.end)))


def _words(passage: Mapping[str, Any], names: Mapping[str, str], length: int) -> Words:
    start, end, speaker = passage["start_ms"], passage["end_ms"], passage.get("speaker")
    if not 0 <= start <= end:
        raise ValueError(f"{start} to {end} is no time")
    name = names.get(speaker, plain(speaker)) if isinstance(speaker, str) else ""
    return Words(min(int(start), length), min(int(end), length), name, str(passage.get("text") or ""))


def _head(path: Path, last: str) -> Iterator[tuple[str, Any]]:
    """Yield the members of a document that come before `last`, without reading what follows."""
    key, builder = None, ijson.ObjectBuilder()
    with path.open("rb") as stream:
        for prefix, event, value in ijson.parse(stream, use_float=True):
            if prefix == "" and event in ("map_key", "end_map"):
                if key is not None:
                    yield key, builder.value
                key, builder = value, ijson.ObjectBuilder()
                if key == last:
                    return
            elif key is not None:
                builder.event(event, value)
