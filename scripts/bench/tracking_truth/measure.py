"""Track the scenes, the labelled footage and the demo clips, under tracking_env; what is found goes to a folder.

    <tracking_env>/bin/python -m scripts.bench.tracking_truth.measure FOLDER SCENES_PER_KIND [VTEST]

`composites/*.npz`: of each scene the detections, the truth and our tracks. `vtest.npz`: the same of vtest.avi. `figures.npz`:
what rival trackers need to see the same pictures. `measured.json`: the rest.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from config.catalog import models
from config.settings import load_settings
from scripts.bench.tracking_truth import actors, scoring
from scripts.bench.tracking_truth.composites import Composite, composites
from scripts.bench.tracking_truth.speakers import Talk, talks
from workflow_scripts.step5.appearance import with_looks
from workflow_scripts.step5.detections import Detections, Frame
from workflow_scripts.step5.engines import ENGINES, Engine
from workflow_scripts.step5.scenes import Scene
from workflow_scripts.step5.sightings import Sighting, Sightings
from workflow_scripts.step5.speaking import Speech, speaking
from workflow_scripts.step5.tracks import TrackedFrame, follow
from workflow_scripts.step5.voices import Turn

REPOSITORY = Path(__file__).resolve().parents[3]
SAMPLE = REPOSITORY / "samples/demo_rushes.zip"
VTEST_TRUTH = REPOSITORY / "tests/steps/step5/vtest_truth.json"
SHORT = 3
_VTEST_SIZE, _VTEST_RATE, _VTEST_FRAMES = (768, 576), 10, 80


def main(part: str, folder: Path, per_kind: int, vtest: Path | None) -> None:
    """Measure one part of everything: `scenes` or `voices`; of the scenes with voices as many as twice `per_kind`."""
    with zipfile.ZipFile(SAMPLE) as archive:
        archive.extractall(folder / part)
    truth = {Path(clip["file"]).stem: clip for clip in json.loads((SAMPLE.parent / "truth.json").read_text())["clips"]}
    clips = {stem: folder / part / clip["file"] for stem, clip in truth.items()}
    faces = _engine("opencv_yunet")
    interview = actors.decoded(clips["interview"], 640, 360)
    if part == "scenes":
        _scenes(folder, per_kind, faces, interview, vtest)
    else:
        measured = _voices(per_kind, faces, interview, clips, truth)
        (folder / "measured.json").write_text(json.dumps(measured))


def _scenes(folder: Path, per_kind: int, faces: Engine, interview: actors.Pictures, vtest: Path | None) -> None:
    """Follow the scenes and vtest.avi, and write what the other trackers and the judge need."""
    persons = _engine("nanodet") if vtest else None
    whole = vtest if per_kind > 1 else None  # a quick run has no scenes of persons
    walking = actors.decoded(whole, *_VTEST_SIZE, _VTEST_RATE)[:_VTEST_FRAMES] if whole else None
    cast = _cast(faces, interview, walking)
    np.savez(folder / "figures.npz", **scoring.packed(cast))
    (folder / "composites").mkdir()
    for scene in composites(*cast, per_kind):
        engine = persons if persons and scene.walks[0].figure.label == "person" else faces
        np.savez(folder / "composites" / f"{scene.name}.npz", **_tracked(engine, scene))
    if persons and vtest:
        np.savez(folder / "vtest.npz", **_labelled(persons, actors.decoded(vtest, *_VTEST_SIZE)))


def _voices(
    per_kind: int, faces: Engine, interview: actors.Pictures, clips: dict[str, Path], truth: dict[str, Any]
) -> dict[str, Any]:
    """Tell who speaks, and count the tracks of the demo's clips: of each its first seconds, ten for each of `per_kind`."""
    landmarker = _engine("mediapipe_landmarker")
    speech = actors.decoded(clips["obama_speech"], 320, 240)
    made = islice(talks(landmarker, speech, actors.streets(interview)), 2 * per_kind)
    most = 250 * per_kind
    return {
        "talks": [_talk_rightness(landmarker, talk) for talk in made],
        "speaker_clip": _speaker_clip(landmarker, speech, truth["obama_speech"]),
        "clips": {stem: _tracks_of(faces, clip, clips[stem], most) for stem, clip in truth.items()},
    }


def _engine(name: str) -> Engine:
    settings = load_settings()
    return ENGINES[name].load(lambda model: settings.models_dir / models()[model].file)


def _cast(engine: Engine, interview: actors.Pictures, walking: actors.Pictures | None) -> scoring.Cast:
    persons, places = ([], []) if walking is None else actors.pedestrians(walking)
    return actors.faces(engine, interview), actors.streets(interview), persons, places


def _looked(engine: Engine, pictures: Iterable[Frame]) -> Iterator[Detections]:
    for number, picture in enumerate(pictures):
        yield with_looks(picture, engine.detect(picture), number)


def _tracked(engine: Engine, scene: Composite) -> dict[str, Any]:
    """Return detections, truth and our tracks of a scene as arrays."""
    pictures, truths = zip(*scene.play(), strict=True)
    wanted = scene.walks[0].figure.label
    seen = [_only(wanted, frame) for frame in _looked(engine, pictures)]
    tracked = list(follow(seen, [Scene(*shot) for shot in scene.shots()]))
    truth = [(n, number, *box) for n, frame in enumerate(truths) for number, _, box in frame]
    return {
        "detections": _rows((n, *box, score) for n, one in enumerate(seen) for box, score in zip(one.boxes, one.scores, strict=True)),
        "truth": _rows(truth), "ours": _ours(tracked), "cuts": np.array(scene.cuts, np.int64), "frames": scene.frames,
    }  # fmt: skip


def _only(label: str, seen: Detections) -> Detections:
    """Return the detections with one label."""
    rows = [row for row, name in enumerate(seen.labels) if name == label]
    assert seen.looks is not None
    looks = type(seen.looks)(
        seen.looks.colours[rows], seen.looks.mouths[rows], tuple(seen.looks.portraits[row] for row in rows)
    )
    return Detections(seen.boxes[rows], seen.scores[rows], (label,) * len(rows), seen.source, looks=looks)


def _ours(tracked: Sequence[TrackedFrame]) -> Any:
    return _rows(
        (n, track, *box)
        for n, frame in enumerate(tracked)
        for track, box in zip(frame.ids, frame.detections.boxes, strict=True)
        if track is not None
    )


def _rows(rows: Iterable[Sequence[float]]) -> Any:
    return np.array([tuple(map(float, row)) for row in rows], np.float64)


def _labelled(engine: Engine, pictures: actors.Pictures) -> dict[str, Any]:
    """Return truth and our tracks in the frames of vtest.avi that were labelled; the whole stretch was tracked at 25 fps."""
    frames = json.loads(VTEST_TRUTH.read_text())["frames"]
    shown = {frame["frame"]: -(-frame["frame"] * 25 // _VTEST_RATE) for frame in frames}
    stretch = pictures[: max(shown.values()) + 25]
    tracked = list(follow((_only("person", seen) for seen in _looked(engine, stretch)), [Scene(0, len(stretch))]))
    truth = [(n, one["id"], *one["box"]) for n, frame in enumerate(frames) for one in frame["persons"]]
    return {
        "truth": _rows(truth), "ours": _ours([tracked[shown[frame["frame"]]] for frame in frames]),
        "cuts": np.array([], np.int64), "frames": len(frames),
    }  # fmt: skip


def _followed(
    engine: Engine, pictures: Iterable[Frame], scenes: Sequence[Scene]
) -> tuple[list[TrackedFrame], list[Sighting]]:
    sightings = Sightings()
    tracked = list(follow(_looked(engine, pictures), scenes))
    for frame in tracked:
        sightings.take(frame)
    return tracked, sightings.ended()


def _speaks(speech: Speech, track: int, frame: int) -> bool:
    return any(one.is_speaking and one.first <= frame < one.end for one in speech.faces.get(track, ()))


def _talk_rightness(engine: Engine, talk: Talk) -> float:
    """Return in how many of the frames with a voice every face in sight is told rightly, as a share."""
    pictures, truths = zip(*talk.scene.play(), strict=True)
    scenes = [Scene(0, talk.scene.frames)]
    tracked, sightings = _followed(engine, pictures, scenes)
    speech = speaking(sightings, {}, talk.turns, scenes)
    right = total = 0
    for number, (frame, truth) in enumerate(zip(tracked, truths, strict=True)):
        voices = talk.speakers(number)
        if voices:
            total += 1
            right += all(
                track is not None and _speaks(speech, track, number) == (talk.owners[walk] in voices)
                for walk, track in scoring.matched(truth, frame)
            )
    return right / total


def _speaker_clip(engine: Engine, pictures: actors.Pictures, truth: dict[str, Any]) -> dict[str, float]:
    """Return of obama_speech in what share of speech the speaker is told right, and of all frames the listener as speaking."""
    turns = [Turn(round(25 * start), round(25 * end), "SPEAKER_00") for start, end in truth["speech"]]
    scenes = [Scene(0, len(pictures))]
    tracked, sightings = _followed(engine, pictures, scenes)
    speech = speaking(sightings, {}, turns, scenes)
    heard = [n for n in range(len(pictures)) if any(turn.first <= n < turn.end for turn in turns)]
    by_place = [sorted(zip(frame.detections.boxes[:, 0].tolist(), frame.ids, strict=True)) for frame in tracked]
    spoken = [n for n in heard if len(by_place[n]) == 2 and _speaks(speech, by_place[n][1][1] or 0, n)]
    wrong = [n for n, faces in enumerate(by_place) if faces and _speaks(speech, faces[0][1] or 0, n)]
    return {"speaker": len(spoken) / len(heard), "listener": len(wrong) / len(pictures)}


def _tracks_of(engine: Engine, clip: dict[str, Any], path: Path, most: int) -> dict[str, float]:
    """Return how many tracks the first frames of a clip of the demo have, how many are short, and the length in minutes."""
    pictures = actors.decoded(path, clip["width"], clip["height"])[:most]
    cuts = [cut for cut in clip["cuts"] if cut < len(pictures)]
    scenes = [Scene(*shot) for shot in pairwise([0, *cuts, len(pictures)])]
    lengths: Counter[int] = Counter()
    for frame in follow(_looked(engine, pictures), scenes):
        lengths.update(track for track in frame.ids if track is not None)
    short = sum(length <= SHORT for length in lengths.values())
    return {"tracks": len(lengths), "short": short, "minutes": len(pictures) / 25 / 60}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]) if len(sys.argv) > 4 else None)
