"""From what is known of a video to the record that formats are written from (`timeline.Export`)."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from workflow_scripts.step6.exports.axis import Axis, original_axis, proxy_axis
from workflow_scripts.step6.exports.material import Material
from workflow_scripts.step6.exports.timeline import Export, Medium, Span, Words, media_name, plain
from workflow_scripts.step6.exports.tracks import Tracks
from workflow_scripts.stepkit.timebase import PROXY_RATE

AGAINST = ("original", "proxy")
PATHS = ("relative", "absolute")
_LONGEST_ABSENCE = 25
"""Proxy frames that a person may be out of sight for and still be there for an editor."""


def axis_of(material: Material, against: str) -> Axis:
    """Return the way to the medium that the timeline is cut from."""
    facts = material.facts
    if against == "proxy":
        return proxy_axis(facts.proxy_frames)
    return original_axis(facts.original, [scene.start for scene in material.scenes], facts.duration)


def export_of(material: Material, axis: Axis, against: str, folder: Path, paths: str) -> Export:
    """Return the record of a video; documents beside it will stand in `folder`, which `paths` may be relative to."""
    shots = tuple(
        Span("shot", f"Shot {number}", axis.beginning(scene.start), axis.position(scene.end), scene.note)
        for number, scene in enumerate(material.scenes, 1)
    )
    speech = material.speech
    turns = tuple(_moved(words, axis) for words in speech.turns)
    markers = sorted((*_speakers(speech.turns, axis), *_persons(material.tracks, axis)), key=lambda span: span.start)
    medium = _medium(material, axis, against, folder, paths)
    return Export(
        plain(material.video.stem) or "video", axis.grid, medium, axis.positions,
        tuple(shot for shot in shots if shot.end > shot.start), tuple(markers), turns,
        tuple(_moved(words, axis) for words in speech.lines), _scaled(material.tracks, (medium.width, medium.height)),
    )  # fmt: skip


def media_path(material: Material, against: str) -> Path:
    """Return where the medium is."""
    video = material.video
    return video.proxy if against == "proxy" else video.project.path / material.facts.original_path


def _medium(material: Material, axis: Axis, against: str, folder: Path, paths: str) -> Medium:
    facts, path = material.facts, Path(os.path.abspath(media_path(material, against)))
    # `..` leads out of where a link points to, not out of where it stands.
    there, here = os.path.realpath(path.parent), os.path.realpath(folder)
    named = os.path.relpath(Path(there, path.name), here) if paths == "relative" else str(path)
    url = quote(os.fsencode(named)) if paths == "relative" else path.as_uri()
    size = facts.proxy_size if against == "proxy" else facts.original_size
    channels = min(facts.audio_channels, 2) if against == "proxy" else facts.audio_channels
    rate = 48000 if against == "proxy" else facts.audio_rate
    return Medium(media_name(path), url, plain(named), axis.end, *size, channels, rate)


def _moved(words: Words, axis: Axis) -> Words:
    return Words(axis.milliseconds(words.start), axis.milliseconds(words.end), words.speaker, words.text)


def _speakers(turns: Sequence[Words], axis: Axis) -> Iterator[Span]:
    for turn in turns:
        start = min(axis.at(turn.start), axis.end - 1)
        yield Span("speaker", turn.speaker or "unknown speaker", start, max(start + 1, axis.at(turn.end)))


def _persons(tracks: Tracks, axis: Axis) -> Iterator[Span]:
    """Yield when each person is to be seen; each track where nobody said who it is."""
    for subject in tracks.subjects(by_person=True):
        frames = [tracks.frame[row] for row in subject.rows]
        for first, last in _stretches(frames):
            start = axis.position(first)
            note = f"{len(frames) / float(PROXY_RATE):.1f} s in all"
            yield Span("person", plain(subject.name), start, max(start + 1, axis.position(last + 1)), note)


def _stretches(frames: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of rising frames that follow each other closely enough."""
    first = before = frames[0]
    for frame in frames:
        if frame - before > _LONGEST_ABSENCE:
            yield first, before
            first = frame
        before = frame
    yield first, before


def _scaled(tracks: Tracks, size: tuple[int, int]) -> Tracks:
    """Return tracks in the pixels of a picture of another size."""
    across, down = (there / max(1, here) for here, there in zip(tracks.size, size, strict=True))
    if (across, down) == (1, 1):
        return tracks
    return Tracks(
        size, tracks.frame, tracks.kind, array("d", (value * across for value in tracks.left)),
        array("d", (value * down for value in tracks.top)), array("d", (value * across for value in tracks.width)),
        array("d", (value * down for value in tracks.height)), tracks.confidence, tracks.speaking, tracks.kinds,
    )  # fmt: skip
