"""The demo, end to end with real models: what came out against what the footage holds (samples/truth.json)."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import jsonschema
import pytest

from config.contract import Exit
from config.settings import read_settings
from tests.conftest import REPOSITORY
from tests.integration.conftest import Demo
from web import create_app

CLIPS = ["interview", "obama_speech", "montage", "L'été à Bruxelles"]
Truth = dict[str, Any]


def cuts(demo: Demo, clip: str) -> list[int]:
    """Return the first proxy frame of every shot but the first, from the CSV that editors read (1-based there)."""
    with (demo.project / "docs" / f"{clip}_scenes.csv").open() as stream:
        return [int(row["Frame In"]) - 1 for row in csv.DictReader(stream)][1:]


def frames(demo: Demo, clip: str) -> list[dict[str, Any]]:
    """Return the tracked frames of a clip, without the header line."""
    lines = (demo.project / "docs" / f"{clip}_tracking_raw.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


def speaking(demo: Demo, clip: str) -> Iterator[tuple[float, bool]]:
    """Yield the middle of every proxy frame in seconds, and whether somebody is said to speak in it."""
    for entry in demo.document(f"{clip}_audio.json")["frames_analysis"]:
        yield (entry["frame"] - 0.5) / 25, entry["audio_info"]["is_speech_present"]


def overlap(one: list[float], other: list[float]) -> float:
    """Return the intersection over union of two boxes [x, y, width, height]."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (one[2] * one[3] + other[2] * other[3] - width * height)


def test_all_seven_steps_succeed(demo: Demo) -> None:
    assert demo.told["exit_code"] == 0
    assert demo.told["failures"] == []
    counts = {step: entry["counts"] for step, entry in demo.told["steps"].items()}
    once, each = {"done": 1}, {"done": len(CLIPS)}
    assert counts == {"STEP1": once, **{f"STEP{n}": each for n in (2, 3, 4, 5, 6)}, "STEP7": once}


@pytest.mark.parametrize("clip", CLIPS)
def test_the_proxy_is_25_fps_constant_and_as_long_as_the_original(demo: Demo, truth: Truth, clip: str) -> None:
    least, most = truth[clip]["frames_25fps"]
    with av.open(str(demo.project / "docs" / f"{clip}.mp4")) as proxy:
        stream = proxy.streams.video[0]
        times = sorted(p.pts * stream.time_base for p in proxy.demux(stream) if p.pts is not None)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert bool(proxy.streams.audio) == truth[clip]["audio"]
        assert not proxy.streams.audio or proxy.streams.audio[0].codec_context.name == "aac"
    assert least <= len(times) <= most
    assert {round((later - earlier) * 1000) for earlier, later in itertools.pairwise(times)} == {40}


def test_shots_are_found_anew_from_the_kept_curves(
    demo: Demo, places: dict[str, str], run_derush: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Without a model: there is none in this place."""
    project = Path(places["PROJECTS_DIR"]) / demo.project.name
    shutil.copytree(demo.project, project)
    scenes = project / "docs" / "interview_scenes.csv"
    before = scenes.read_bytes()
    assert before.count(b"\n") > 2

    def retune(video: str, *options: str) -> int:
        return run_derush("scenes", "retune", video, *options, MODELS_DIR=str(tmp_path / "none")).returncode

    assert retune("interview", "--threshold", "1") == 0
    assert scenes.read_bytes().count(b"\n") == 2  # the head, and one shot: nothing is above 1
    assert retune(f"{project.name}/interview.mp4", "--reset") == 0
    assert scenes.read_bytes() == before
    assert retune("no such video", "--threshold", "0.5") == Exit.USAGE
    assert retune("interview") == Exit.USAGE
    assert retune("interview", "--threshold", "0.5", "--reset") == Exit.USAGE


def test_what_was_25_fps_already_is_not_encoded_again(demo: Demo) -> None:
    methods = {clip: demo.document(f"{clip}_source.json")["proxy"]["method"] for clip in CLIPS}
    assert methods["L'été à Bruxelles"] in {"linked", "remuxed"}
    assert methods["montage"] == methods["obama_speech"] == "encoded"


def test_the_originals_are_kept_as_they_were_delivered(demo: Demo) -> None:
    with zipfile.ZipFile(REPOSITORY / "samples" / "demo_rushes.zip") as archive:
        delivered = {Path(name).name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    kept = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (demo.project / "sources").rglob("*.m*")
    }
    assert len(kept) == len(CLIPS)
    assert kept.items() <= delivered.items()


@pytest.mark.parametrize("clip", CLIPS)
def test_the_cuts_are_those_of_the_footage(demo: Demo, truth: Truth, clip: str) -> None:
    found, known, tolerance = cuts(demo, clip), truth[clip]["cuts"], truth[clip]["cuts_tolerance"]
    assert len(found) == len(known), (found, known)
    assert all(abs(one - other) <= tolerance for one, other in zip(found, known, strict=True)), (found, known)


def test_speech_is_found_where_somebody_speaks(demo: Demo, truth: Truth) -> None:
    for clip in ("interview", "obama_speech"):
        # References differ over pauses: a quarter of a second about each end of a segment is left out.
        inside = [(a + 0.25, b - 0.25) for a, b in truth[clip]["speech"]]
        judged = [said for at, said in speaking(demo, clip) if any(a <= at <= b for a, b in inside)]
        assert sum(judged) / len(judged) >= 0.9, clip


def test_no_speech_is_found_where_nobody_speaks(demo: Demo, truth: Truth) -> None:
    for clip in ("interview", "obama_speech", "L'été à Bruxelles"):
        silent = [(a, b - 0.25) for a, b in truth[clip]["no_speech"]]
        judged = [said for at, said in speaking(demo, clip) if any(a <= at <= b for a, b in silent)]
        assert judged and sum(judged) / len(judged) <= 0.05, clip


def test_two_speakers_are_told_apart(demo: Demo, truth: Truth) -> None:
    """Each reference speaker's time alone goes to one label, another for each, in at least four fifths of it."""
    analysis = demo.document("interview_audio.json")["frames_analysis"]
    shares: dict[str, dict[str, int]] = {}
    for entry in analysis:
        at = (entry["frame"] - 0.5) / 25
        who = [name for a, b, name in truth["interview"]["turns"] if a + 0.1 <= at <= b - 0.1]
        labels = entry["audio_info"]["active_speaker_labels"]
        if len(who) == 1 and len(labels) == 1:
            counted = shares.setdefault(who[0], {})
            counted[labels[0]] = counted.get(labels[0], 0) + 1
    best = {who: max(counted, key=lambda label: counted[label]) for who, counted in shares.items()}
    assert len(set(best.values())) == 2 == len(shares)
    assert all(counted[best[who]] / sum(counted.values()) >= 0.8 for who, counted in shares.items()), shares


def test_a_clip_without_sound_is_told_from_silence(demo: Demo) -> None:
    silent, mute = demo.document("L'été à Bruxelles_audio_raw.json"), demo.document("montage_audio_raw.json")
    assert silent["audio"] != mute["audio"]
    assert not any(said for _, said in speaking(demo, "montage"))


@pytest.mark.parametrize("clip", CLIPS)
def test_every_clear_face_is_tracked(demo: Demo, truth: Truth, clip: str) -> None:
    tracked = frames(demo, clip)
    found = [
        any(overlap(box, tracked_object["bbox"]) >= 0.4 for tracked_object in tracked[labelled["frame"]]["objects"])
        for labelled in truth[clip]["faces"]
        for box in labelled["boxes"]
    ]
    assert sum(found) >= 0.9 * len(found), f"{sum(found)} of {len(found)}"


@pytest.mark.parametrize("clip", CLIPS)
def test_no_face_is_tracked_where_there_is_none(demo: Demo, truth: Truth, clip: str) -> None:
    tracked = frames(demo, clip)
    empty = [tracked[frame] for first, end in truth[clip]["no_human_face"] for frame in range(first, end)]
    assert sum(bool(entry["objects"]) for entry in empty) <= 0.05 * len(empty)


@pytest.mark.parametrize("clip", CLIPS)
def test_tracks_end_at_cuts_and_keep_their_id_within_a_shot(demo: Demo, truth: Truth, clip: str) -> None:
    """No id is seen on both sides of a true cut; the two men of one shot are two tracks, throughout."""
    tracked = frames(demo, clip)
    bounds = [0, *truth[clip]["cuts"], len(tracked)]
    shots = [{o["id"] for entry in tracked[a:b] for o in entry["objects"]} for a, b in itertools.pairwise(bounds)]
    assert sum(len(ids) for ids in shots) == len(set().union(*shots))
    if clip == "obama_speech":
        assert len(shots[0]) == 2
        assert sum(len(entry["objects"]) == 2 for entry in tracked) >= 0.95 * len(tracked)


@pytest.mark.parametrize("clip", CLIPS)
def test_the_reduced_files_are_in_the_form_that_after_effects_scripts_read(demo: Demo, truth: Truth, clip: str) -> None:
    tracking, audio = demo.document(f"{clip}_tracking.json"), demo.document(f"{clip}_audio.json")
    least, most = truth[clip]["frames_25fps"]
    for reduced in (tracking, audio):
        assert reduced["fps"] == 25
        assert least <= reduced["total_frames"] <= most
        assert [entry["frame"] for entry in reduced["frames_analysis"]] == list(range(1, reduced["total_frames"] + 1))
    objects = [o for entry in tracking["frames_analysis"] for o in entry["tracked_objects"]]
    wanted = {"id", "centroid_x", "source", "label", "confidence", "active_speakers", "bbox_width", "bbox_height"}
    assert all(wanted <= set(o) for o in objects)
    assert all(0 <= o["centroid_x"] <= truth[clip]["width"] for o in objects)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("kind", ["source", "scenes", "audio_raw", "audio", "tracking"])
def test_every_document_keeps_its_schema(demo: Demo, clip: str, kind: str) -> None:
    schema = json.loads((REPOSITORY / "docs" / "schemas" / f"{kind}.json").read_text())
    jsonschema.validate(demo.document(f"{clip}_{kind}.json"), schema)


@pytest.mark.parametrize("clip", CLIPS)
def test_the_archive_holds_every_artefact_with_its_checksum(demo: Demo, clip: str) -> None:
    source = demo.document(f"{clip}_source.json")["original"]["sha256"]
    (metadata,) = (demo.folder / "archives").glob(f"*/{source}/metadata.json")
    listed = json.loads(metadata.read_text())
    jsonschema.validate(listed, json.loads((REPOSITORY / "docs" / "schemas" / "archive_metadata.json").read_text()))
    assert listed["video_hash"] == source
    names = {artefact["name"] for artefact in listed["artefacts"]}
    suffixes = ("_scenes.csv", "_scenes.json", "_audio.json", "_tracking.json", "_source.json")
    assert {f"{clip}{suffix}" for suffix in suffixes} <= names
    for artefact in listed["artefacts"]:
        content = (metadata.parent / artefact["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == artefact["sha256"]
        assert content == (demo.project / "docs" / artefact["name"]).read_bytes()


def test_a_second_run_does_nothing_in_seconds(demo: Demo) -> None:
    before = {
        path: path.stat().st_mtime_ns
        for path in demo.project.rglob("*")
        if path.is_file() and ".derush" not in path.parts
    }
    started = time.monotonic()
    told = demo.run()
    assert time.monotonic() - started < 10
    assert told["exit_code"] == 0 and told["artefacts"] == []
    assert {status for entry in told["steps"].values() for status in entry["counts"]} == {"up_to_date"}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_dry_run_says_the_same_in_seconds(demo: Demo) -> None:
    started = time.monotonic()
    told = demo.run("--dry-run")
    assert time.monotonic() - started < 10
    assert {step["step"]: step["up_to_date"] for step in told["steps"] if step["step"]} == {
        step_id: sum(entry["counts"].values()) for step_id, entry in demo.told["steps"].items()
    }
    assert told["is_complete"] and not told["refusals"] and not told["failures"] and not told["left_out"]
    assert all(place["needed_bytes"] == 0 and place["is_enough"] for place in told["places"])


def test_a_dry_run_tells_how_long_it_would_take_again_and_how_much_it_would_write(demo: Demo) -> None:
    told = demo.run("--dry-run", "--force")
    assert all(step["to_do"] + step["unknown"] == len(CLIPS) for step in told["steps"][1:6])
    assert 0.5 < told["seconds"] / demo.told["seconds"] < 2
    assert not told["is_least"] and all(step["is_measured"] for step in told["steps"] if step["step"])
    needed = {place["setting"]: place["needed_bytes"] for place in told["places"]}
    whole = sum(path.stat().st_size for path in demo.project.rglob("*") if path.is_file())
    archived = sum(path.stat().st_size for path in (demo.folder / "archives").rglob("*") if path.is_file())
    assert whole <= needed["PROJECTS_DIR"] < 1.5 * whole
    assert archived <= needed["ARCHIVES_DIR"] < 2 * archived
    assert needed["OUTPUT_DIR"] >= whole


def test_the_panel_shows_every_clip_done(demo: Demo) -> None:
    app = create_app(read_settings(demo.variables))
    client = app.test_client()
    client.get(f"/link/{app.extensions['derush'].accounts.new_link()}")
    page = client.get(f"/projects/{demo.project.name}")
    assert page.status_code == 200
    assert page.text.count('class="badge done"') + page.text.count('class="badge succeeded"') == 5 * len(CLIPS)


def test_the_demo_archive_is_the_one_its_truth_was_measured_on() -> None:
    command = [sys.executable, "scripts/make_sample.py", "--check"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
