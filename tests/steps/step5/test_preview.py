"""`derush tracks preview`: its script run as the command runs it, what it writes decoded again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.steps.step5.conftest import REPOSITORY, Workplace, decoded, ffmpeg
from workflow_scripts.step5 import drawing
from workflow_scripts.step5.preview import corner
from workflow_scripts.step5.scenes import Scene
from workflow_scripts.step5.tracking_file import SCHEMA

SCRIPT = REPOSITORY / "workflow_scripts/step5/preview_tracks.py"
FRAMES, WIDTH, HEIGHT = 30, 640, 360
GREY = 90
LISTENER, SPEAKER = (400.0, 100.0, 120.0, 160.0), (100.0, 120.0, 140.0, 160.0)  # left, top, width, height


def tracked(frame: int) -> dict[str, Any]:
    """Two persons, of whom the first speaks from frame 11 to 20; then somebody who is not in sight."""
    speaks = 10 < frame <= 20
    one = {"id": 1, "bbox": SPEAKER, "label": "face", "is_speaking": speaks, "identity": {"person": "person_1"}}
    other = {"id": 2, "bbox": LISTENER, "label": "face", "is_speaking": False, "identity": {"person": "person_2"}}
    unseen = [{"id": None, "person": None, "voice": "SPEAKER_01"}] if frame > 20 else []
    return {"frame": frame, "objects": [one, other], "active_speakers": unseen}


@pytest.fixture
def place(workplace: Workplace, tmp_path: Path) -> Workplace:
    """A grey proxy with sound, two scenes, and its tracking."""
    clip = tmp_path / "grey.mp4"
    picture = f"color=c=0x{GREY:02x}{GREY:02x}{GREY:02x}:s={WIDTH}x{HEIGHT}:r=25"
    ffmpeg(
        "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=r=48000", "-frames:v", str(FRAMES), "-t", "1.2",
        "-pix_fmt", "yuv420p", str(clip),
    )  # fmt: skip
    workplace.add(clip, "a", FRAMES, (WIDTH, HEIGHT), (12,))
    header = {"schema": SCHEMA, "total_frames": FRAMES}
    write(workplace, [header, *map(tracked, range(1, FRAMES + 1))])
    return workplace


def write(place: Workplace, records: list[dict[str, Any]]) -> None:
    (place.docs / "a_tracking_raw.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))


def command(place: Workplace, *arguments: str) -> list[str]:
    return [sys.executable, str(SCRIPT), *arguments, "--", str(place.docs / "a.mp4")]


def environment(place: Workplace) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "DERUSH_ENV_FILE": os.devnull, "PROJECTS_DIR": str(place.root / "projets"),
        **place.variables,
    }  # fmt: skip


def preview(place: Workplace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script in an empty folder beside the projects."""
    (place.root / "here").mkdir(exist_ok=True)
    return subprocess.run(
        command(place, *arguments), cwd=place.root / "here", env=environment(place), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_boxes_stand_where_the_tracking_has_them(place: Workplace) -> None:
    done = preview(place)
    assert done.returncode == 0, done.stderr
    made = place.root / "here/a_tracks.mp4"
    assert done.stdout.strip() == str(made) and [path.name for path in made.parent.iterdir()] == [made.name]
    shown = decoded(made, WIDTH, HEIGHT).astype(int)
    assert len(shown) == FRAMES
    left, top, width, height = map(int, LISTENER)
    edges = {"left": (left, top + 100), "right": (left + width, top + 100), "bottom": (left + 60, top + height)}
    for frame in (0, 15, 29):
        for x, y in edges.values():
            assert np.abs(shown[frame, y, x] - drawing.colour_of(2)).max() < 40
        assert np.abs(shown[frame, top + 80, left + 60] - GREY).max() < 6, "nothing is drawn within"
    assert not np.abs(shown[0] - shown[15]).max(axis=-1)[:, 320:].max() > 40, "the one who listens stays as he is"


def test_who_speaks_is_seen_and_named(place: Workplace) -> None:
    people = {"person_1": {"name": "Éric", "by": "face", "videos": {}, "picture_from": "a", "picture_quality": 0}}
    (place.docs / "people.json").write_text(json.dumps({"schema": "derush.people/1", "people": people}))
    assert preview(place).returncode == 0
    shown = decoded(place.root / "here/a_tracks.mp4", WIDTH, HEIGHT).astype(int)
    left, top, _, height = map(int, SPEAKER)
    for frame, colour in (
        (9, drawing.colour_of(1)),
        (10, drawing.SPEAKS),
        (19, drawing.SPEAKS),
        (20, drawing.colour_of(1)),
    ):
        assert np.abs(shown[frame, top + height // 2, left] - colour).max() < 40, frame
    for frame, words in ((5, "1 Éric"), (15, "1 Éric speaks")):
        place_of_words = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
        drawing.draw(
            place_of_words,
            [drawing.Shown((left, top, left + SPEAKER[2], top + height), words, 1, "speaks" in words)], "", "",
        )  # fmt: skip
        part = np.s_[top - 20 : top - 2, left : left + 120]
        assert np.abs(shown[frame][part] - place_of_words[part]).mean() < 12, words
    below = shown[:, HEIGHT - 9, 1]
    assert np.abs(below[25] - drawing.SPEAKS).max() < 40 and np.abs(below[15] - GREY).max() < 6, "a voice off screen"


def test_sound_and_size(place: Workplace) -> None:
    place.variables = {}
    done = preview(place, "--scale", "0.5", "--output", "new folder/small.mp4")
    assert done.returncode == 0, done.stderr
    made = place.root / "here/new folder/small.mp4"
    assert len(decoded(made, WIDTH // 2, HEIGHT // 2)) == FRAMES
    sound = [ffmpeg("-i", str(path), "-vn", "-f", "s16le", "-") for path in (place.docs / "a.mp4", made)]
    assert sound[0] and sound[0] == sound[1]


def test_the_corner_says_scene_timecode_and_frame() -> None:
    scenes = [Scene(0, 12), Scene(12, 100)]
    assert corner(11, scenes) == "scene 1/2  00:00:00:11  frame 12"
    assert corner(12, scenes) == "scene 2/2  00:00:00:12  frame 13"
    assert corner(99, scenes) == "scene 2/2  00:00:03:24  frame 100"


def test_a_file_that_is_there_is_kept_unless_forced(place: Workplace) -> None:
    here = place.root / "here"
    here.mkdir()
    (here / "a_tracks.mp4").write_text("mine")
    refused = preview(place)
    assert refused.returncode == 1 and "--force" in refused.stderr and "file_exists" in refused.stderr
    assert (here / "a_tracks.mp4").read_text() == "mine"
    assert preview(place, "--force").returncode == 0
    assert len(decoded(here / "a_tracks.mp4", WIDTH, HEIGHT)) == FRAMES


def test_a_folder_in_its_place_is_refused_before_any_work(place: Workplace) -> None:
    (place.root / "here/a_tracks.mp4").mkdir(parents=True)
    place.variables = {"FFMPEG_BINARY": "/nowhere/ffmpeg"}
    done = preview(place, "--force", f"--output={place.root / 'here'}")
    assert done.returncode == 1 and "not_a_file" in done.stderr and "--output" in done.stderr, done.stderr


@pytest.mark.parametrize(("width", "height"), [(0, HEIGHT), (WIDTH, 0), (-WIDTH, HEIGHT)])
def test_a_proxy_without_pixels_is_damaged_facts(place: Workplace, width: int, height: int) -> None:
    facts = place.docs / "a_source.json"
    known = json.loads(facts.read_text())
    known["proxy"].update(width=width, height=height)
    facts.write_text(json.dumps(known))
    done = preview(place)
    assert done.returncode == 1 and "no_source_facts" in done.stderr and "Run STEP2" in done.stderr, done.stderr


def test_an_encoder_that_fails_is_said_with_what_may_help(place: Workplace) -> None:
    """An ffmpeg whose disk is full stands in: it decodes as always."""
    full = place.root / "full ffmpeg"
    real = subprocess.run(
        [sys.executable, "-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    full.write_text(
        "#!/bin/bash\nfor last; do :; done\n"
        'if [[ $last == *.tmp ]]; then echo "No space left on device" >&2; exit 228; fi\n'
        f'exec "{real}" "$@"\n'
    )
    full.chmod(0o755)
    place.variables = {"FFMPEG_BINARY": str(full)}
    done = preview(place)
    assert done.returncode == 1 and "encode_failed" in done.stderr and "No space left" in done.stderr, done.stderr
    assert all(words in done.stderr for words in ("Free space", "--output", "FFMPEG_BINARY"))
    assert not list((place.root / "here").iterdir())


def damaged(place: Workplace, what: str) -> None:
    records = [{"schema": SCHEMA, "total_frames": FRAMES}, *map(tracked, range(1, FRAMES + 1))]
    if what == "a frame too few":
        records.pop()
    elif what == "another length":
        records[0]["total_frames"] = 29
    elif what == "a box that is none":
        records[20]["objects"][0]["bbox"] = [1, 2, float("inf"), 3]
    elif what == "no object":
        records[20]["objects"] = [7]
    write(place, records)


@pytest.mark.parametrize("what", ["a frame too few", "another length", "a box that is none", "no object"])
def test_damaged_tracking_is_said_and_leaves_nothing(place: Workplace, what: str) -> None:
    damaged(place, what)
    done = preview(place)
    assert done.returncode == 1 and "bad_tracking" in done.stderr and "STEP5" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not list((place.root / "here").iterdir())


@pytest.mark.parametrize(
    ("missing", "code"),
    [("_tracking_raw.jsonl", "no_tracking"), ("_scenes.json", "no_scenes"), ("_source.json", "no_source_facts")],
)
def test_what_is_missing_is_named_with_its_step(place: Workplace, missing: str, code: str) -> None:
    (place.docs / f"a{missing}").unlink()
    done = preview(place)
    assert done.returncode == 1 and code in done.stderr and re.search("Run STEP[235]", done.stderr), done.stderr
    assert not list((place.root / "here").iterdir())


def test_a_place_in_a_project_is_refused(place: Workplace) -> None:
    for folder in (place.docs, place.root / "projets"):
        done = preview(place, f"--output={folder}")
        assert done.returncode == 2 and "preview_in_project" in done.stderr, done.stderr


def test_who_stops_it_finds_nothing_half_done(place: Workplace) -> None:
    """A slow encoder stands in for a long video: it takes the frames and never ends."""
    slow = place.root / "slow ffmpeg"
    real = subprocess.run(
        [sys.executable, "-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    slow.write_text(
        f'#!/bin/bash\nfor last; do :; done\nif [[ $last == *.tmp ]]; then > "${{last#file:}}"; exec sleep 300; fi\nexec "{real}" "$@"\n'
    )
    slow.chmod(0o755)
    place.variables = {"FFMPEG_BINARY": str(slow)}
    here = place.root / "here"
    here.mkdir()
    process = subprocess.Popen(command(place), cwd=here, env=environment(place))
    try:
        wait_for(lambda: list(here.iterdir()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert not list(here.iterdir())


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_words_never_leave_the_picture() -> None:
    for size in ((1, 1), (3, 200), (40, 6)):
        picture = np.full((*size, 3), GREY, np.uint8)
        box = (-50.0, -50.0, 400.0, 400.0)
        drawing.draw(picture, [drawing.Shown(box, "7 somebody with a long name", 7, True)], "corner", "below")
        assert picture.shape == (*size, 3)
    assert drawing.can_write("Zoë Łukasz Žižek") and not drawing.can_write("王")
