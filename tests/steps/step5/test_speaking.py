"""Who speaks, against expectations worked out by hand, and in a clip where it is known."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workflow_scripts.step5.people import Identity
from workflow_scripts.step5.scenes import Scene
from workflow_scripts.step5.sightings import Sighting
from workflow_scripts.step5.speaking import Speech, mouth_speaks, speaking
from workflow_scripts.step5.tracking_file import Found, lines
from workflow_scripts.step5.voices import Turn, read_turns
from workflow_scripts.stepkit import ItemError

SPEAKS, RESTS = 0.2, 0.0  # how far a jaw goes up and down


def face(track: int, first: int, *moves: tuple[int, float]) -> Sighting:
    """A face whose jaw moves so far for so many frames, and so on; a syllable takes four frames."""
    openings: list[float] = []
    for frames, far in moves:
        openings += [far * (number % 4 < 2) for number in range(frames)]
    end = first + len(openings)
    return Sighting(track, "face", first, end, len(openings), openings=array("f", openings))


def frames_of(speech: Speech, track: int) -> set[int]:
    return {n for one in speech.faces[track] if one.is_speaking for n in range(one.first, one.end)}


def unseen(speech: Speech) -> set[tuple[int, str | None]]:
    return {(n, one.voice) for one in speech.unseen for n in range(one.first, one.end)}


SCENE = [Scene(0, 200)]
PEOPLE = {1: "person_1", 2: "person_2"}


def test_the_face_that_moves_its_mouth_speaks() -> None:
    faces = [face(1, 0, (200, SPEAKS)), face(2, 0, (200, RESTS))]
    speech = speaking(faces, PEOPLE, [Turn(50, 150, "A")], SCENE)
    assert frames_of(speech, 1) == set(range(50, 150))
    assert frames_of(speech, 2) == set()
    assert not speech.unseen


def test_a_mouth_that_moves_in_silence_does_not_speak() -> None:
    speech = speaking([face(1, 0, (200, SPEAKS))], PEOPLE, [], SCENE)
    assert frames_of(speech, 1) == set()
    assert {one.audio for one in speech.faces[1]} == {0.0}


def test_whose_voice_it_is_may_be_known_from_other_videos() -> None:
    """Both mouths move a little more than not: which of the two is heard, other videos of the project have shown."""
    faces = [face(1, 0, (200, 0.085)), face(2, 0, (200, 0.085))]
    turns = [Turn(50, 150, "A")]
    for owner in (1, 2):
        elsewhere = {("A", PEOPLE[owner]): 200.0, ("A", PEOPLE[3 - owner]): -200.0, ("B", "person_9"): 200.0}
        speech = speaking(faces, PEOPLE, turns, SCENE, elsewhere)
        assert frames_of(speech, owner) == set(range(50, 150)), owner
        assert not frames_of(speech, 3 - owner)
        assert speech.faces[owner][1].pairing == pytest.approx(1, abs=0.01)


def test_a_video_says_itself_what_it_shows_of_voices() -> None:
    faces = [face(1, 0, (200, SPEAKS)), face(2, 0, (200, RESTS))]
    together = speaking(faces, PEOPLE, [Turn(50, 150, "A")], SCENE, {("A", "person_1"): 1000.0}).together
    assert set(together) == {("A", "person_1"), ("A", "person_2")}
    assert together["A", "person_1"] == pytest.approx(50, abs=2) and together["A", "person_2"] == pytest.approx(
        -50, abs=2
    )


def test_a_voice_without_a_mouth_is_off_screen() -> None:
    speech = speaking([face(1, 0, (200, RESTS))], PEOPLE, [Turn(0, 100, "A")], SCENE)
    assert frames_of(speech, 1) == set()
    assert unseen(speech) == {(n, "A") for n in range(100)}


def test_a_voice_over_an_empty_picture_is_off_screen() -> None:
    assert unseen(speaking([], {}, [Turn(10, 20, None)], SCENE)) == {(n, None) for n in range(10, 20)}


def test_two_who_speak_at_once() -> None:
    faces = [face(1, 0, (100, SPEAKS), (100, RESTS)), face(2, 0, (60, RESTS), (140, SPEAKS))]
    speech = speaking(faces, PEOPLE, [Turn(0, 100, "A"), Turn(60, 200, "B")], SCENE)
    assert frames_of(speech, 1) == set(range(100))
    assert frames_of(speech, 2) == set(range(60, 200))
    overlap = {one.voices for one in speech.faces[1] if 60 <= one.first < 100}
    assert overlap == {("A",)}, "each has the voice it was seen with alone"


def test_one_voice_is_never_two_faces() -> None:
    faces = [face(1, 0, (200, SPEAKS)), face(2, 0, (200, SPEAKS / 2))]
    speech = speaking(faces, PEOPLE, [Turn(0, 200, "A")], SCENE)
    assert frames_of(speech, 1) == set(range(200))
    assert frames_of(speech, 2) == set()


def test_a_voice_is_known_by_its_face_where_the_mouth_says_little() -> None:
    """Person 1 speaks plainly with voice A in one shot; in the next the jaw moves less, and person 2's as little."""
    little = 0.07  # a deviation of 0.035: as likely as not
    faces = [face(1, 0, (100, SPEAKS)), face(3, 100, (100, little)), face(4, 100, (100, little))]
    who = {1: "person_1", 3: "person_2", 4: "person_1"}
    speech = speaking(faces, who, [Turn(0, 100, "A"), Turn(110, 190, "A")], [Scene(0, 100), Scene(100, 200)])
    assert frames_of(speech, 4) == set(range(110, 190))
    assert frames_of(speech, 3) == set()
    evidence = next(one for one in speech.faces[4] if one.is_speaking)
    assert evidence.pairing is not None
    assert evidence.pairing > 0.9


def test_where_nobody_listened_mouths_tell() -> None:
    speech = speaking([face(1, 0, (100, SPEAKS)), face(2, 0, (100, RESTS))], {}, None, [Scene(0, 100)])
    assert frames_of(speech, 1) == set(range(100))
    assert frames_of(speech, 2) == set()
    assert {one.audio for one in speech.faces[1]} == {None}


def test_objects_never_speak() -> None:
    cup = Sighting(1, "cup", 0, 100, 100, openings=face(1, 0, (100, SPEAKS)).openings)
    speech = speaking([cup], {}, [Turn(0, 100, "A")], [Scene(0, 100)])
    assert speech.faces == {}
    (line,) = lines(['[[1,"{\\"id\\":1}"]]\n'], Found({}, speech))
    assert json.loads(line) == {
        "frame": 1, "objects": [{"id": 1, "is_speaking": False}],
        "active_speakers": [{"id": None, "person": None, "voice": "A"}],
    }  # fmt: skip


def test_a_face_whose_mouth_nobody_knows_is_silent() -> None:
    blind = Sighting(1, "face", 0, 50, 50, openings=array("f", [np.nan] * 50), changes=array("f", [np.nan] * 50))
    assert np.isnan(mouth_speaks(blind)).all()
    speech = speaking([blind], {}, [Turn(0, 50, "A")], [Scene(0, 50)])
    assert [(one.is_speaking, one.confidence, one.visual) for one in speech.faces[1]] == [(False, 0.0, None)]


def test_what_is_written_of_a_speaker() -> None:
    speech = speaking([face(7, 0, (2, RESTS), (98, SPEAKS))], {7: "person_1"}, [Turn(1, 100, "A")], [Scene(0, 100)])
    spilled = ['[[7,"{\\"id\\":7}"]]\n'] * 100
    silent, *_, last = map(json.loads, lines(spilled, Found({7: Identity("person_1", 0.9, "face")}, speech)))
    assert silent["objects"][0]["is_speaking"] is False
    assert silent["active_speakers"] == []
    assert last["frame"] == 100
    assert last["active_speakers"] == [{"id": 7, "person": "person_1", "voice": "A"}]
    assert last["objects"][0]["active_speakers"] == ["A"]
    assert last["objects"][0]["identity"] == {"person": "person_1", "confidence": 0.9, "by": "face"}
    assert last["objects"][0]["speaking_sources"]["audio"] == 1.0


def heard(path: Path, **changes: Any) -> Path:
    told = {
        "audio": "present",
        "turns": [{"start_ms": 0, "end_ms": 100, "speaker": "B"}, {"start_ms": 60, "end_ms": 10_000, "speaker": None}],
        **changes,
    }
    path.write_text(json.dumps(told, indent=1)[:-2] + ',\n "frames_analysis": [\n{"frame":1}\n ]\n}\n')
    return path


def test_turns_in_frames(tmp_path: Path) -> None:
    """Frame n lasts from 40 n to 40 n + 40 ms, its middle at 40 n + 20: 100 ms is the middle of frame 2, not in the turn."""
    assert read_turns(heard(tmp_path / "a"), 50) == [Turn(0, 2, "B"), Turn(1, 50, None)]


def test_no_sound_is_silence_and_no_analysis_is_not(tmp_path: Path) -> None:
    assert read_turns(heard(tmp_path / "a", audio="none"), 50) == []
    assert read_turns(tmp_path / "b", 50) is None


@pytest.mark.parametrize("turns", [None, [{}], [{"start_ms": "x", "end_ms": 1, "speaker": None}]])
def test_damaged_turns(tmp_path: Path, turns: Any) -> None:
    with pytest.raises(ItemError, match="is damaged"):
        read_turns(heard(tmp_path / "a", turns=turns), 50)
