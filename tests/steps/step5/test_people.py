"""Who tracks are: across cuts, across videos, with two processes at one project's people at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from tests.steps.step5.conftest import REPOSITORY, model_path
from workflow_scripts.step5.appearance import with_looks
from workflow_scripts.step5.engines import opencv_yunet
from workflow_scripts.step5.face_prints import PRINT, ArcFace, SFace, recognition_model
from workflow_scripts.step5.people import grouped
from workflow_scripts.step5.people_file import audio_sha256, people_file, recognised, remember_voices, voices_elsewhere
from workflow_scripts.step5.sightings import Album, Kept, Sighting
from workflow_scripts.stepkit import ItemError
from workflow_scripts.stepkit.projects import Project, Video

SCHEMA = Draft202012Validator(json.loads((REPOSITORY / "docs/schemas/people.json").read_text()))


def print_of(person: int, turn: float = 0.0) -> Any:
    """A print of length 1: one axis for each person, turned by an angle towards an axis that no one else has."""
    made = np.zeros(PRINT, np.float32)
    made[person], made[64 + person] = np.cos(turn), np.sin(turn)
    return made


def face(track: int, first: int, end: int, person: int, turn: float = 0.0, **more: Any) -> Sighting:
    return Sighting(track, "face", first, end, end - first, print_of(person, turn), **more)


def body(track: int, first: int, end: int, colour: int) -> Sighting:
    return Sighting(track, "person", first, end, end - first, colours=np.eye(4, dtype=np.float32)[colour])


def kept(picture: bytes) -> Kept:
    return Album(BytesIO()).put(picture)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "P/docs").mkdir(parents=True)
    (tmp_path / "P/.derush").mkdir()
    return Project(tmp_path / "P")


def who(project: Project, stem: str, *sightings: Sighting) -> dict[int, str]:
    return {track: one.person for track, one in recognised(project, stem, sightings, project.internal).items()}


def people(project: Project) -> dict[str, Any]:
    known = json.loads(people_file(project).read_text())
    SCHEMA.validate(known)
    return dict(known["people"])


def test_a_face_is_one_person_across_cuts() -> None:
    """0.6 and 1.1 radians apart: cosines 0.83 and 0.45; track 4 is 1.3 from the nearest, 0.27."""
    groups = grouped(
        [face(1, 0, 50, 0), face(2, 50, 90, 1), face(3, 90, 120, 0, 0.6), face(4, 120, 150, 0, 1.9)], {}, SFace.same
    )
    assert [group.tracks for group in groups] == [(1, 3), (2,), (4,)]


def test_two_faces_at_a_time_are_two_people_however_alike() -> None:
    groups = grouped([face(1, 0, 50, 0), face(2, 49, 90, 0), face(3, 90, 99, 0, 0.1)], {}, SFace.same)
    assert sorted(len(group.tracks) for group in groups) == [1, 2]


def test_people_known_apart_stay_apart() -> None:
    known = {"person_1": print_of(0), "person_2": print_of(0, 0.3)}
    groups = grouped([face(1, 0, 9, 0, 0.05), face(2, 9, 20, 0, 0.25)], known, SFace.same)
    assert [(group.tracks, group.known) for group in groups] == [((1,), "person_1"), ((2,), "person_2")]


def test_thousands_of_short_tracks_are_joined_in_good_time() -> None:
    """A camera that cuts every frame between two people, 1,500 times; the last face is somebody else's."""
    faces = [face(n + 1, n, n + 1, n % 2, 0.001 * (n % 7)) for n in range(1500)]
    groups = grouped([*faces, face(1501, 1500, 1501, 2)], {"person_8": print_of(1)}, SFace.same)
    assert [(len(group.tracks), group.known) for group in groups] == [(750, None), (750, "person_8"), (1, None)]


def test_who_is_known_is_known_again_by_a_track_too_short_to_be_linked() -> None:
    """More tracks than are linked, all of a stranger; the one of a person from another video is shorter than any."""
    faces = [face(n + 1, 2 * n, 2 * n + 2, 0) for n in range(620)]
    groups = grouped([*faces, face(621, 1240, 1241, 1)], {"person_8": print_of(1, 0.3)}, SFace.same)
    assert [(len(group.tracks), group.known) for group in groups] == [(620, None), (1, "person_8")]


def test_ten_thousand_tracks_take_seconds() -> None:
    """Forty people at a time, 250 times, each with a print of his own kind: nobody is joined with whom he was seen beside."""
    random = np.random.default_rng(0)
    prints = random.normal(size=(40, PRINT)).astype(np.float32)
    faces = []
    for scene in range(250):
        for person in range(40):
            track, noisy = 40 * scene + person + 1, prints[person] + random.normal(size=PRINT) * 0.3
            print_ = (noisy / np.linalg.norm(noisy)).astype(np.float32)
            faces.append(Sighting(track, "face", 10 * scene, 10 * scene + 10, 10, print_))
    started = time.process_time()
    groups = grouped(faces, {}, SFace.same)
    assert time.process_time() - started < 20
    assert [len(group.tracks) for group in groups] == [250] * 40
    assert all({(track - 1) % 40 for track in group.tracks} == {place} for place, group in enumerate(groups))


def test_persons_without_a_face_are_joined_by_what_they_wear() -> None:
    groups = grouped([body(1, 0, 50, 0), body(2, 50, 90, 1), body(3, 90, 120, 0)], {}, SFace.same)
    assert [(group.tracks, group.by) for group in groups] == [((1, 3), "appearance"), ((2,), "appearance")]


def test_a_body_is_who_its_face_is(project: Project) -> None:
    head = face(1, 0, 50, 0, bodies={2: 40})
    assert who(project, "a", head, body(2, 0, 50, 0), body(3, 0, 50, 1)) == {
        1: "person_1",
        2: "person_1",
        3: "person_2",
    }


def test_other_things_have_no_identity(project: Project) -> None:
    cup = Sighting(1, "cup", 0, 9, 9, colours=np.eye(4, dtype=np.float32)[0])
    assert who(project, "a", cup, Sighting(2, "face", 0, 9, 9)) == {}


def test_people_are_known_again_in_other_videos(project: Project) -> None:
    assert who(project, "a", face(1, 0, 50, 0), face(2, 0, 50, 1)) == {1: "person_1", 2: "person_2"}
    assert who(project, "b", face(1, 0, 50, 2), face(2, 60, 90, 1, 0.3)) == {1: "person_3", 2: "person_2"}
    known = people(project)
    assert {key: sorted(person["videos"]) for key, person in known.items()} == {
        "person_1": ["a"], "person_2": ["a", "b"], "person_3": ["b"],
    }  # fmt: skip
    assert known["person_2"]["videos"]["b"]["likeness"] == pytest.approx(np.cos(0.3), abs=1e-4)


def test_a_video_tracked_again_says_the_same(project: Project) -> None:
    seen = (face(1, 0, 50, 0), body(2, 60, 90, 0), face(3, 100, 150, 1))
    first = who(project, "a", *seen)
    who(project, "b", face(1, 0, 50, 5))
    before = people(project)
    assert who(project, "a", *seen) == first
    assert people(project) == before


def test_who_is_seen_no_more_is_forgotten_unless_named(project: Project) -> None:
    who(project, "a", face(1, 0, 50, 0, picture=kept(b"a picture"), quality=0.5), face(2, 0, 50, 1))
    known = json.loads(people_file(project).read_text())
    known["people"]["person_2"]["name"] = "Zoé"
    people_file(project).write_text(json.dumps(known))
    assert (project.path / "docs/people/person_1.jpg").is_file()
    who(project, "a", face(1, 0, 50, 2))
    assert {key: person["name"] for key, person in people(project).items()} == {"person_2": "Zoé", "person_3": None}
    assert not (project.path / "docs/people/person_1.jpg").exists()


def test_the_best_picture_is_kept(project: Project) -> None:
    picture = project.path / "docs/people/person_1.jpg"
    pictures = []
    for stem, quality in (("a", 0.5), ("b", 0.4), ("c", 0.6)):
        who(project, stem, face(1, 0, 50, 0, picture=kept(stem.encode()), quality=quality))
        pictures.append(picture.read_bytes())
    assert pictures == [b"a", b"a", b"c"]
    assert people(project)["person_1"]["picture_from"] == "c"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        pytest.param("[" * 100_000, id="deep"),
        '{"people": {"../../x": {}}}',
        '{"people": {"person_1": {"videos": {"a": {"face": [1]}}}}}',
    ],
)
def test_a_damaged_file_is_an_error_that_names_the_remedy(project: Project, text: str) -> None:
    people_file(project).write_text(text)
    with pytest.raises(ItemError, match=r"people\.json is damaged") as raised:
        who(project, "a", face(1, 0, 50, 0))
    assert "remove it" in raised.value.remedy
    assert people_file(project).read_text() == text


def changed(project: Project, change: Callable[[dict[str, Any]], object]) -> None:
    """Be the hand that changes what is recorded of person_1 in the video a."""
    known = json.loads(people_file(project).read_text())
    change(known["people"]["person_1"]["videos"]["a"])
    people_file(project).write_text(json.dumps(known))


@pytest.mark.parametrize(
    "written",
    [
        {"voices": {"SPEAKER_00": float("nan")}},
        {"voices": {"SPEAKER_00": float("inf")}},
        {"likeness": float("nan")},
        {"face": [float("nan")] * PRINT},
        {"face": [1e300] * PRINT},
        {"frames": -5},
        {"frames": 0},
        {"frames": 10**400},
    ],
    ids=lambda written: f"{written!s:.30}",
)
def test_numbers_that_no_video_gives_are_damage(project: Project, written: dict[str, Any]) -> None:
    who(project, "a", face(1, 0, 50, 0))
    changed(project, lambda video: video.update(written))
    before = people_file(project).read_text()
    with pytest.raises(ItemError, match=r"people\.json is damaged"):
        who(project, "b", face(1, 0, 50, 1))
    assert people_file(project).read_text() == before


@pytest.mark.parametrize("kind", [SFace.kind, "arcface 12"])
def test_a_face_of_another_length_than_the_model_s_is_not_compared(project: Project, kind: str) -> None:
    seen = [face(1, 0, 50, 0)]
    recognised(project, "a", seen, project.internal, kind)
    changed(project, lambda video: video.update(face=video["face"][:-1]))
    for stem in ("b", "c"):
        assert recognised(project, stem, seen, project.internal, kind)[1].person == "person_2"


ADDING = """
import sys
from pathlib import Path
import numpy as np
from tests.steps.step5.test_people import face
from workflow_scripts.step5.people_file import recognised
from workflow_scripts.stepkit.projects import Project
project, half = Project(Path(sys.argv[1])), int(sys.argv[2])
for number in range(15):
    recognised(project, f"video {half} {number}", [face(1, 0, 50, half), face(2, 0, 50, 2)], project.internal / str(half))
"""


def test_two_processes_at_once_lose_nothing(project: Project) -> None:
    (project.internal / "0").mkdir()
    (project.internal / "1").mkdir()
    command = [sys.executable, "-c", ADDING, str(project.path)]
    running = [subprocess.Popen([*command, half], cwd=REPOSITORY) for half in ("0", "1")]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert sorted(len(person["videos"]) for person in people(project).values()) == [15, 15, 30]


def test_real_faces_are_told_apart_and_known_again(pictures: dict[str, Any]) -> None:
    """In the interview the same woman is in 130 and 400, the same man in 170 and 500; in obama_speech he is on the right."""
    engine, prints = opencv_yunet.load(model_path), SFace(model_path("sface"))

    def seen(stem: str, frame: int) -> list[Any]:
        picture = pictures[stem][frame]
        looks = with_looks(picture, engine.detect(picture), 0).looks
        assert looks is not None
        return [prints.of(one) for one in looks.portraits if one is not None]

    (woman,), (woman_again,) = seen("interview", 130), seen("interview", 400)
    (man,), (man_again,) = seen("interview", 170), seen("interview", 500)
    listener, speaker = seen("obama_speech", 100)
    same = [woman @ woman_again, man @ man_again, man @ speaker]
    different = [woman @ man, woman @ listener, man @ listener, listener @ speaker]
    assert min(same) > 0.5
    assert max(different) < 0.35


def heard(project: Project, stem: str, words: str = "what STEP4 wrote") -> str | None:
    """Put a video in place as STEP4 leaves it, and return what its file is known by."""
    for name in (f"{stem}.mp4", f"{stem}_source.json"):
        (project.docs / name).touch()
    (project.docs / f"{stem}_audio_raw.json").write_text(words)
    return audio_sha256(Video(project, stem))


def test_what_a_video_shows_of_voices_is_there_for_the_others(project: Project) -> None:
    """Of people who are known by the face; a video that is tracked again says it anew."""
    for stem in ("a", "b"):
        who(project, stem, face(1, 0, 50, 0), body(2, 0, 50, 1))
    heard_a, heard_b = heard(project, "a"), heard(project, "b")
    remember_voices(project, "a", {("SPEAKER_00", "person_1"): 40.0, ("SPEAKER_00", "person_2"): 9.0}, heard_a)
    remember_voices(project, "b", {("SPEAKER_00", "person_1"): -15.0, ("SPEAKER_00", "track 7"): 9.0}, heard_b)
    assert people(project)["person_1"]["videos"]["a"]["voices"] == {"SPEAKER_00": 40.0}
    assert voices_elsewhere(project, "a") == {("SPEAKER_00", "person_1"): -15.0}
    assert voices_elsewhere(project, "c") == {("SPEAKER_00", "person_1"): 25.0}
    who(project, "a", face(1, 0, 50, 0))
    assert voices_elsewhere(project, "c") == {("SPEAKER_00", "person_1"): -15.0}


@pytest.mark.parametrize("what", ["heard anew", "not heard", "deleted", "of an older file"])
def test_voices_count_no_more_once_their_labels_are_gone(project: Project, what: str) -> None:
    """Labels are STEP4's: another run of it may give SPEAKER_00 to somebody else."""
    who(project, "a", face(1, 0, 50, 0))
    remember_voices(project, "a", {("SPEAKER_00", "person_1"): 40.0}, heard(project, "a"))
    assert voices_elsewhere(project, "b") == {("SPEAKER_00", "person_1"): 40.0}
    if what == "heard anew":
        heard(project, "a", "what STEP4 wrote the second time")
    elif what == "not heard":
        (project.docs / "a_audio_raw.json").unlink()
    elif what == "deleted":
        (project.docs / "a.mp4").unlink()
    else:
        changed(project, lambda video: video.pop("voices_from"))
    assert voices_elsewhere(project, "b") == {}


def test_prints_of_two_kinds_are_never_compared(project: Project) -> None:
    who(project, "a", face(1, 0, 50, 0))
    other = Sighting(1, "face", 0, 50, 50, np.eye(512, dtype=np.float32)[0])
    known = recognised(project, "b", [other], project.internal, "arcface 12", 0.4)
    assert known[1].person == "person_2"
    assert people(project)["person_2"]["videos"]["b"]["print"] == "arcface 12"
    assert who(project, "c", face(1, 0, 50, 0)) == {1: "person_1"}
    assert recognised(project, "d", [other], project.internal, "arcface 12", 0.4)[1].person == "person_2"


def test_people_of_older_files_are_known(project: Project) -> None:
    who(project, "a", face(1, 0, 50, 0))
    changed(project, lambda video: [video.pop(name) for name in ("print", "voices", "voices_from")])
    assert who(project, "b", face(1, 0, 50, 0)) == {1: "person_1"}


def test_insightface_s_own_model_makes_the_prints(own_models: dict[str, Path], tmp_path: Path) -> None:
    """A network of the form of its recognition models, which tells a picture's left half from its right."""
    from tests.steps.step5 import networks

    folder = tmp_path / "pack"
    shutil.copytree(own_models["step5_insightface_models"], folder)
    assert recognition_model(folder) is None
    networks.save(networks.Recognition(), 112, folder / "w600k_r50.onnx")
    model = recognition_model(folder)
    assert model == folder / "w600k_r50.onnx"
    prints = ArcFace(model)
    assert prints.kind.startswith("arcface ")
    left, right = np.zeros((112, 112, 3), np.uint8), np.zeros((112, 112, 3), np.uint8)
    left[:, :56], right[:, 56:] = 255, 255
    made = [prints.of(portrait) for portrait in (left, right, left)]
    assert all(np.linalg.norm(one) == pytest.approx(1) for one in made) and made[0].shape == (512,)
    assert made[0] @ made[2] == pytest.approx(1) and made[0] @ made[1] < 0
