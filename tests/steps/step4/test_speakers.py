"""The speakers of a project: one label for one voice, names that people give, two workers at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.steps.step4.conftest import REPOSITORY
from workflow_scripts.step4.joining import Print
from workflow_scripts.step4.speakers import names, path_of, settle
from workflow_scripts.stepkit import ItemError
from workflow_scripts.stepkit.projects import Project

THRESHOLD = 0.6


def voice(seed: int, near: Print | None = None, alike: float = 0.9) -> Print:
    """Return a voice; with `near`, one whose cosine to it is `alike`."""
    raw = np.random.default_rng(seed).standard_normal(192).astype(np.float32)
    if near is not None:
        raw -= (raw @ near) * near
        raw = alike * near + np.sqrt(1 - alike**2) * raw / np.linalg.norm(raw)
    return np.asarray(raw / np.linalg.norm(raw), dtype=np.float32)


def heard(project: Project, stem: str, **prints: Print | None) -> dict[str, str]:
    """Settle a video's speakers, a minute each, and return the labels they got."""
    found = settle(project, stem, prints, dict.fromkeys(prints, 60.0), THRESHOLD)
    return {who: match.label for who, match in found.items()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "P")


def kept(project: Project) -> Any:
    return json.loads(path_of(project).read_text())["speakers"]


def test_one_voice_has_one_label_in_every_video(project: Project) -> None:
    paul, anna = voice(1), voice(2)
    assert heard(project, "one", a=paul, b=anna) == {"a": "SPEAKER_00", "b": "SPEAKER_01"}
    assert heard(project, "two", a=voice(3), b=voice(4, paul), c=voice(5, anna, 0.7)) == {
        "a": "SPEAKER_02", "b": "SPEAKER_00", "c": "SPEAKER_01",
    }  # fmt: skip
    assert [sorted(speaker["videos"]) for speaker in kept(project)] == [["one", "two"], ["one", "two"], ["two"]]


def test_who_is_whom_does_not_hang_on_the_order_of_the_videos(tmp_path: Path) -> None:
    voices = [voice(seed) for seed in range(3)]
    videos = {f"v{n}": {f"s{k}": voice(10 * n + k, voices[k], 0.85) for k in range(3) if k != n % 3} for n in range(6)}
    groups = []
    for number, order in enumerate((list(videos), list(reversed(videos)))):
        project, found = Project(tmp_path / str(number)), dict[str, set[tuple[str, str]]]()
        for stem in order:
            for who, label in heard(project, stem, **videos[stem]).items():
                found.setdefault(label, set()).add((stem, who))
        groups.append({frozenset(group) for group in found.values()})
    assert groups[0] == groups[1] and len(groups[0]) == 3


def test_two_of_one_video_never_share_a_label(project: Project) -> None:
    paul = voice(1)
    heard(project, "one", a=paul)
    assert heard(project, "two", a=voice(2, paul, 0.8), b=voice(3, paul, 0.95)) == {
        "a": "SPEAKER_01",
        "b": "SPEAKER_00",
    }


def test_a_video_done_again_keeps_its_labels_and_leaves_none_behind(project: Project) -> None:
    paul = voice(1)
    heard(project, "one", a=paul, b=voice(2), c=None)
    assert heard(project, "one", x=voice(3, paul), z=None) == {"x": "SPEAKER_00", "z": "SPEAKER_02"}
    assert [speaker["label"] for speaker in kept(project)] == ["SPEAKER_00", "SPEAKER_02"]


def test_a_video_done_again_is_not_another_video(project: Project) -> None:
    paul, anna = voice(1), voice(2)
    settle(project, "one", {"a": paul}, {"a": 60.0}, THRESHOLD)
    prints = {"a": voice(3, paul, 0.7), "b": anna}
    first = settle(project, "two", prints, {"a": 60.0, "b": 60.0}, THRESHOLD)
    again = settle(project, "two", prints, {"a": 60.0, "b": 60.0}, THRESHOLD)
    assert again == first
    assert first["a"].similarity == pytest.approx(0.7, abs=0.01)
    assert first["b"].similarity is not None and first["b"].similarity < 0.3
    assert [sorted(speaker["videos"]) for speaker in kept(project)] == [["one", "two"], ["two"]]
    alone = settle(project, "one", {"a": paul}, {"a": 60.0}, THRESHOLD)["a"]
    assert alone.label == "SPEAKER_00" and alone.similarity == pytest.approx(0.7, abs=0.01)


def test_confidence_falls_towards_the_threshold(project: Project) -> None:
    paul = voice(1)
    first = settle(project, "one", {"a": paul}, {"a": 9.0}, THRESHOLD)["a"]
    sure = settle(project, "two", {"a": voice(2, paul, 0.95)}, {"a": 9.0}, THRESHOLD)["a"]
    hardly = settle(project, "three", {"a": voice(3, paul, 0.55)}, {"a": 9.0}, THRESHOLD)["a"]
    assert (first.similarity, first.confidence) == (None, 1.0)
    assert sure.similarity == pytest.approx(0.95, abs=0.01) and sure.confidence > 0.9
    assert hardly.label != sure.label and 0.5 <= hardly.confidence < 0.6


def test_names_that_a_person_wrote_stay(project: Project) -> None:
    heard(project, "one", a=voice(1))
    document = json.loads(path_of(project).read_text())
    document["speakers"][0]["name"] = "  Paul   D. "
    path_of(project).write_text(json.dumps(document))
    assert names(project) == {"SPEAKER_00": "Paul D."}
    assert heard(project, "two", a=voice(2, voice(1))) == {"a": "SPEAKER_00"}
    assert names(project) == {"SPEAKER_00": "Paul D."}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "x", "speakers": []}',
    '{"schema": "derush.speakers/1", "speakers": [{"label": "SPEAKER_00", "name": 3, "videos": {}}]}',
    '{"schema": "derush.speakers/1", "speakers": [{"label": "S", "name": null, "videos": {"v": {"seconds": 1, "print": "AAAA"}}}]}',
])  # fmt: skip
def test_a_file_that_was_spoilt_is_said_and_not_overwritten(project: Project, text: str) -> None:
    project.path.mkdir(parents=True)
    path_of(project).write_text(text)
    with pytest.raises(ItemError, match=r"speakers\.json"):
        heard(project, "one", a=voice(1))
    assert path_of(project).read_text() == text


def test_workers_at_many_videos_lose_nothing(project: Project) -> None:
    program = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from workflow_scripts.step4.speakers import settle\nfrom workflow_scripts.stepkit.projects import Project\n"
        "one = np.eye(192, dtype=np.float32)[0]\n"
        "for n in range(10): settle(Project(Path(sys.argv[1])), f'{sys.argv[2]}{n}', {'a': one}, {'a': 9.0}, 0.6)\n"
    )
    command = [sys.executable, "-c", program, str(project.path)]
    workers = [subprocess.Popen([*command, name], cwd=REPOSITORY) for name in ("x", "y", "z")]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    (speaker,) = kept(project)
    assert len(speaker["videos"]) == 30
