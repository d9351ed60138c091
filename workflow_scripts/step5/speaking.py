"""Who of those in sight speaks: mouths that move while a voice is heard, and which voice was seen with which face.

A voice's turn is cut into stretches of at most three seconds in which nobody comes or goes. In each, every voice goes to
the face that is most likely to speak, or, if none is likely, to nobody: it is heard from off screen. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.scenes import Scene
from workflow_scripts.step5.sightings import FACE, Sighting
from workflow_scripts.step5.voices import Turn

_LONGEST_STRETCH = 75
_WINDOW = 10
"""Frames on either side over which a mouth is watched: a syllable takes about five."""
_LEAST_WATCHED = 5
_JAW_SPEAKS, _JAW_SLOPE = 0.036, 0.007
"""Standard deviation of jawOpen over a window at which speech and silence are equally likely, and how fast that changes.
Measured on one face that speaks in five shots: 0.063 in the middle, above 0.03 in nine of ten windows; on three that listen,
smile or act: 0.01 in the middle, below 0.034 in nine of ten."""
_MOUTH_SPEAKS, _MOUTH_SLOPE = 0.016, 0.004
"""The same of the mouth's change from frame to frame, for engines without blendshapes: 0.022 to 0.033 against 0.007 to
0.009 in listeners; 0.02 in a large face that acts, which it cannot tell from speech."""
_PAIRING_FRAMES = 25
"""Frames of clear evidence that make a pairing of a voice and a face about three to one."""
_PAIRING_WEIGHT = 0.35
LIKELY = 0.5
"""From here on a face is taken to speak."""
LIKELY_UNHEARD = 0.6
"""The same where the sound was not analysed."""


@dataclass(frozen=True)
class Evidence:
    """What is known of whether a face speaks, in frames `first` to `end`. From 0 to 1, None where it is not known.

    `confidence` that it speaks; `audio`: a voice is heard; `visual`: its mouth moves; `pairing`: this voice goes with this
    face. `voices` are those it is taken to speak with, empty if it does not; the voice itself may be unknown: None.
    """

    first: int
    end: int
    confidence: float
    audio: float | None
    visual: float | None
    pairing: float | None
    voices: tuple[str | None, ...] = ()
    is_speaking: bool = False


@dataclass(frozen=True)
class Unseen:
    """A voice that is heard from off screen in frames `first` to `end`."""

    first: int
    end: int
    voice: str | None


Together = Mapping[tuple[str, str], float]
"""By voice and person: frames in which the mouth moved as in speech while this voice alone was heard, less those in which it
did not, halved."""


@dataclass(frozen=True)
class Speech:
    """Of each face's track its evidence, in order; and the voices from off screen, in order.

    `together` is what this video shows of which voice is whose: see `Together`.
    """

    faces: Mapping[int, Sequence[Evidence]]
    unseen: Sequence[Unseen]
    together: Together = field(default_factory=dict)


@dataclass(frozen=True)
class _Stretch:
    """Frames in which the same voices are heard and the same faces are in sight, `visual` being how much each speaks."""

    first: int
    end: int
    voices: tuple[str | None, ...]
    visual: Mapping[int, float | None]


Pairing = Mapping[tuple[str, str], float]


def speaking(
    sightings: Sequence[Sighting],
    people: Mapping[int, str],
    turns: Sequence[Turn] | None,
    scenes: Sequence[Scene],
    elsewhere: Together = MappingProxyType({}),
) -> Speech:
    """Tell who speaks. `people`: who a track is, where that is known; `turns` is None where nobody listened.

    `elsewhere` is what the project's other videos showed of which voice is whose.
    """
    faces = [sighting for sighting in sightings if sighting.label == FACE]
    owners = {face.track: people.get(face.track, f"track {face.track}") for face in faces}
    stretches = list(_stretches(faces, turns or (), scenes))
    together = _together(stretches, owners)
    pairing = _paired(together, elsewhere)
    found: dict[int, list[Evidence]] = {face.track: [] for face in faces}
    unseen = []
    for stretch in stretches:
        told, left = _unheard(stretch) if turns is None else _heard(stretch, pairing, owners)
        for track, evidence in told.items():
            found[track].append(evidence)
        unseen += [Unseen(stretch.first, stretch.end, voice) for voice in left]
    return Speech(found, unseen, together)


def mouth_speaks(face: Sighting) -> NDArray[np.float64]:
    """Return for each frame of a face how much its mouth moves as in speech, 0 to 1; NaN where that is not known."""
    openings = np.frombuffer(face.openings, np.float32).astype(np.float64)
    if not np.isnan(openings).all():
        return _likely(_spread(openings), _JAW_SPEAKS, _JAW_SLOPE)
    changes = np.frombuffer(face.changes, np.float32).astype(np.float64)
    return _likely(_upper(changes), _MOUTH_SPEAKS, _MOUTH_SLOPE)


def _likely(values: NDArray[np.float64], middle: float, slope: float) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip((values - middle) / slope, -50, 50))))


def _windows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the surroundings of each value, (n, 2 * _WINDOW + 1), NaN past the ends and where too few are known."""
    padded = np.pad(values, _WINDOW, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _WINDOW + 1).copy()
    windows[np.count_nonzero(~np.isnan(windows), axis=1) < _LEAST_WATCHED] = np.nan
    return windows


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation around each value, of those that are known."""
    windows = _windows(values)
    known = ~np.isnan(windows)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, windows, 0).sum(axis=1) / count
    variance = np.where(known, (windows - mean[:, None]) ** 2, 0).sum(axis=1) / count
    return np.where(known.any(axis=1), np.sqrt(variance), np.nan)


def _upper(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the third quarter of the values around each: half of them may be 0, in film of 12 frames a second."""
    windows = np.sort(_windows(values), axis=1)  # NaN last
    count = np.count_nonzero(~np.isnan(windows), axis=1)
    place = np.maximum(3 * count // 4 - 1, 0)
    return np.where(count > 0, windows[np.arange(len(windows)), place], np.nan)


def _stretches(faces: Sequence[Sighting], turns: Sequence[Turn], scenes: Sequence[Scene]) -> Iterator[_Stretch]:
    """Yield the stretches in which somebody is in sight or heard, in order."""
    edges = {edge for scene in scenes for edge in scene}
    edges |= {edge for turn in turns for edge in (turn.first, turn.end)}
    edges |= {edge for face in faces for edge in (face.first, face.end)}
    visual = {face.track: mouth_speaks(face) for face in faces}
    arriving, speaking_next = sorted(faces, key=lambda face: face.first), sorted(turns, key=lambda turn: turn.first)
    present: list[Sighting] = []
    heard: list[Turn] = []
    for start, end in pairwise(sorted(edges)):
        while arriving and arriving[0].first <= start:
            present.append(arriving.pop(0))
        while speaking_next and speaking_next[0].first <= start:
            heard.append(speaking_next.pop(0))
        present = [face for face in present if face.end > start]
        heard = [turn for turn in heard if turn.end > start]
        voices = tuple(dict.fromkeys(turn.voice for turn in heard))
        for first, last in _pieces(start, end) if present or voices else ():
            seen = {face.track: _mean(visual[face.track][first - face.first : last - face.first]) for face in present}
            yield _Stretch(first, last, voices, seen)


def _pieces(first: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a stretch into equal parts that are short enough."""
    parts = -(-(end - first) // _LONGEST_STRETCH)
    yield from pairwise(first + (end - first) * part // parts for part in range(parts + 1))


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _together(stretches: Sequence[_Stretch], owners: Mapping[int, str]) -> Together:
    """Weigh each voice with each person in sight while it alone was heard."""
    evidence: defaultdict[tuple[str, str], float] = defaultdict(float)
    for stretch in stretches:
        if len(stretch.voices) != 1 or stretch.voices[0] is None:
            continue
        for track, visual in stretch.visual.items():
            if visual is not None:
                evidence[stretch.voices[0], owners[track]] += (visual - 0.5) * (stretch.end - stretch.first)
    return dict(evidence)


def _paired(here: Together, elsewhere: Together) -> Pairing:
    """Return how likely each voice is each person's, by what was seen in this video and in others."""
    sums = {pair: here.get(pair, 0.0) + elsewhere.get(pair, 0.0) for pair in {**here, **elsewhere}}
    return {pair: float(1 / (1 + np.exp(-np.clip(2 * sum_ / _PAIRING_FRAMES, -50, 50)))) for pair, sum_ in sums.items()}


def _unheard(stretch: _Stretch) -> tuple[dict[int, Evidence], list[str | None]]:
    """Tell by the mouths alone."""
    told = {}
    for track, visual in stretch.visual.items():
        speaks = visual is not None and visual >= LIKELY_UNHEARD
        voices: tuple[None, ...] = (None,) if speaks else ()
        told[track] = Evidence(stretch.first, stretch.end, visual or 0.0, None, visual, None, voices, speaks)
    return told, []


def _heard(
    stretch: _Stretch, pairing: Pairing, owners: Mapping[int, str]
) -> tuple[dict[int, Evidence], list[str | None]]:
    """Give each voice to the likeliest face, and return the voices that nobody in sight has."""
    likely = {
        (voice, track): _combined(visual, _pair(pairing, voice, owners[track]))
        for voice in stretch.voices
        for track, visual in stretch.visual.items()
    }
    given: dict[int, str | None] = {}
    left = list(stretch.voices)
    for (voice, track), confidence in sorted(likely.items(), key=lambda pair: (-pair[1], pair[0][1])):
        if confidence >= LIKELY and voice in left and track not in given:
            given[track] = voice
            left.remove(voice)
    told = {}
    for track, visual in stretch.visual.items():
        best = given[track] if track in given else max(
            stretch.voices, key=lambda voice: likely[voice, track], default=None
        )  # fmt: skip
        confidence = likely.get((best, track), 0.0)
        pair = _pair(pairing, best, owners[track])
        audio = 1.0 if stretch.voices else 0.0
        voices = (given[track],) if track in given else ()
        told[track] = Evidence(stretch.first, stretch.end, confidence, audio, visual, pair, voices, track in given)
    return told, left


def _pair(pairing: Pairing, voice: str | None, owner: str) -> float | None:
    return None if voice is None else pairing.get((voice, owner))


def _combined(visual: float | None, pair: float | None) -> float:
    """Weigh what the mouth says and what the voice says; what is not known says nothing."""
    if visual is None:
        return pair or 0.0
    return visual if pair is None else (1 - _PAIRING_WEIGHT) * visual + _PAIRING_WEIGHT * pair
