"""What cutting rooms get, beside rates: rotation, pixel shape, odd sizes, fields, sound that starts elsewhere, damage."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import jsonschema
import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.steps.step2.clips import ffmpeg, numbers_in, times_at, write_clip
from tests.steps.step2.conftest import endings, facts_of
from workflow_scripts.step2.mp4_layout import is_fast_start_mp4
from workflow_scripts.stepkit.media import decode_audio

F = Fraction
FILM = (times_at(F(24), 48), F(1, 24))
NATIVE = (times_at(F(25), 50), F(1, 25))
FAST = {"movflags": "+faststart"}


def schema() -> dict[str, object]:
    return json.loads((REPOSITORY / "docs/schemas/source.json").read_text())


def test_the_original_moves_untouched_and_the_facts_are_whole(project, step2):
    clip = write_clip(project / "A001.mov", *FILM, tone=(F(0), F(1), F(2)))
    before = (clip.read_bytes(), clip.stat().st_mtime_ns)

    code, events = step2()

    moved = project / "sources" / "A001.mov"
    assert code == 0
    assert not clip.exists()
    assert (moved.read_bytes(), moved.stat().st_mtime_ns) == before
    facts = facts_of(project, "A001")
    jsonschema.validate(facts, schema())
    assert facts["original"]["path"] == "sources/A001.mov"
    assert facts["original"]["sha256"] == hashlib.sha256(before[0]).hexdigest()
    assert facts["original"]["video"]["rate"] == "24/1"
    assert facts["original"]["frames"] == 48
    assert facts["proxy"]["frames"] == 50
    assert facts["proxy"]["method"] == "encoded"
    assert facts["proxy"]["has_audio"]
    proxy = project / "docs" / "A001.mp4"
    assert facts["proxy"]["sha256"] == hashlib.sha256(proxy.read_bytes()).hexdigest()
    assert is_fast_start_mp4(proxy)
    found = [event for event in events if event["event"] == "discovered"]
    assert [(event["kind"], event["path"]) for event in found] == [("video", str(proxy))]


def test_a_second_run_touches_nothing(project, step2, tmp_path):
    write_clip(project / "A001.mov", *FILM)
    write_clip(project / "B001.mp4", *NATIVE, container_options=FAST)
    step2()
    proxies = sorted((project / "docs").glob("*.mp4"))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in project.rglob("*.m*") if path.is_file()}

    code, events = step2()

    assert code == 0
    assert set(endings(events).values()) == {("up_to_date", None)}
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in before} == before
    assert json.loads((tmp_path / "here" / "videos_to_track.json").read_text()) == [str(path) for path in proxies]


def test_what_step1_read_is_not_read_again_unless_it_changed(project, step2):
    told, changed = write_clip(project / "A001.mov", *FILM), write_clip(project / "B001.mov", *FILM)
    stale = changed.stat().st_mtime_ns - 1
    members = [
        {"path": path.name, "bytes": path.stat().st_size, "mtime_ns": time, "sha256": digit * 64}
        for path, time, digit in ((told, told.stat().st_mtime_ns, "a"), (changed, stale, "b"))
    ]
    project.joinpath(".derush/project").mkdir(parents=True)
    project.joinpath(".derush/project/archive.json").write_text(json.dumps({"members": members}))

    assert endings(step2()[1]) == {"A001.mov": ("done", None), "B001.mov": ("done", None)}

    assert facts_of(project, "A001")["original"]["sha256"] == "a" * 64  # nothing but the record says so
    in_place = project / "sources" / "B001.mov"
    assert facts_of(project, "B001")["original"]["sha256"] == hashlib.sha256(in_place.read_bytes()).hexdigest()
    assert set(endings(step2()[1]).values()) == {("up_to_date", None)}


def test_other_settings_make_the_proxy_anew(project, step2):
    write_clip(project / "A001.mov", *FILM)
    step2()

    _code, events = step2(STEP2_CRF="30")

    assert endings(events) == {"A001.mov": ("done", None)}


@pytest.mark.parametrize("tone", [None, (F(0), F(0), F(2))])
def test_what_is_a_proxy_already_is_linked(tone, project, step2):
    clip = write_clip(project / "B001.mp4", *NATIVE, tone=tone, container_options=FAST)
    inode = clip.stat().st_ino

    step2()

    proxy, original = project / "docs" / "B001.mp4", project / "sources" / "B001.mp4"
    assert proxy.stat().st_ino == original.stat().st_ino == inode
    facts = facts_of(project, "B001")
    jsonschema.validate(facts, schema())
    assert (facts["proxy"]["method"], facts["proxy"]["has_audio"]) == ("linked", tone is not None)
    assert facts["frame_map"]["runs"] == [[50, 0, 512, 1]]


@pytest.mark.parametrize("name", ["late_index.mp4", "apple.mov", "matroska.mkv", "broadcast.ts"])
def test_another_container_is_changed_without_encoding(name, project, step2):
    write_clip(project / name, *NATIVE, tone=None if name.endswith(".ts") else (F(0), F(0), F(2)))
    assert step2()[0] == 0

    stem = name.rpartition(".")[0]
    facts = facts_of(project, stem)
    assert facts["proxy"]["method"] == "remuxed"
    assert numbers_in(project / "docs" / f"{stem}.mp4") == list(range(50))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("444.mp4", {"pixel_format": "yuv444p"}),
        ("mpeg4.mp4", {"codec": "mpeg4"}),
        ("sound.mkv", {"audio_codec": "pcm_s16le", "tone": (F(0), F(0), F(2))}),
        ("late_sound.mkv", {"tone": (F(1, 5), F(1, 5), F(2))}),
    ],
)
def test_what_only_looks_like_a_proxy_is_encoded(name, arguments, project, step2):
    write_clip(project / name, *NATIVE, **arguments)

    step2()

    stem = name.rpartition(".")[0]
    assert facts_of(project, stem)["proxy"]["method"] == "encoded"
    assert numbers_in(project / "docs" / f"{stem}.mp4") == list(range(50))


@pytest.mark.parametrize("rate", [F(30000, 1001), F(25)])
@pytest.mark.parametrize(
    ("name", "picture_from", "sound_from", "onset"),
    [
        ("together.mov", F(0), F(0), F(1)),
        ("together.mp4", F(0), F(0), F(1)),
        ("together.mkv", F(0), F(0), F(1)),
        ("together.ts", F(0), F(0), F(1)),
        ("late_sound.mkv", F(1), F(3, 2), F(3, 2)),
        ("early_sound.mkv", F(1), F(1, 2), F(7, 5)),
        ("late_both.ts", F(2), F(9, 4), F(3)),
    ],
)
def test_sound_stays_with_its_picture(name, picture_from, sound_from, onset, rate, project, step2):
    times = times_at(rate, 60, picture_from)
    write_clip(project / name, times, F(1, 90000), tone=(sound_from, onset, picture_from + 2))

    step2()

    stem = name.rpartition(".")[0]
    method = facts_of(project, stem)["proxy"]["method"]
    assert method == ("remuxed" if rate == 25 and "together" in name and name != "together.ts" else "encoded")
    binary = Path(imageio_ffmpeg.get_ffmpeg_exe())
    wave = np.frombuffer(b"".join(decode_audio(binary, project / "docs" / f"{stem}.mp4", 48000)), np.float32)
    heard = np.flatnonzero(np.abs(wave) > 0.15)[0] / 48000
    assert abs(heard - float(onset - picture_from)) < 0.010


def test_rotation_pixel_shape_and_odd_sizes(project, step2):
    plain = write_clip(project.parent / "plain.mp4", *FILM)
    ffmpeg("-display_rotation:v:0", "90", "-i", str(plain), "-c", "copy", str(project / "turned.mp4"))
    ffmpeg("-i", str(plain), "-vf", "setsar=4/3", str(project / "wide.mp4"))
    write_clip(project / "odd.mkv", *NATIVE, width=129, height=63, pixel_format="yuv444p")
    plain.unlink()

    assert step2()[0] == 0

    sizes = {stem: (facts_of(project, stem)["proxy"]["width"], facts_of(project, stem)["proxy"]["height"]) for stem in ("turned", "wide", "odd")}  # fmt: skip
    assert sizes == {"turned": (64, 128), "wide": (170, 64), "odd": (128, 62)}
    assert facts_of(project, "turned")["original"]["video"]["rotation"] % 180 == 90
    assert facts_of(project, "wide")["original"]["video"]["sample_aspect_ratio"] == "4/3"
    for stem, size in sizes.items():
        with av.open(str(project / "docs" / f"{stem}.mp4")) as container:
            frame = next(container.decode(video=0))
            assert (frame.width, frame.height, frame.rotation) == (*size, 0)
            assert container.streams.video[0].sample_aspect_ratio in (None, 0, 1)
    assert len(numbers_in(project / "docs" / "wide.mp4")) == 50


@pytest.mark.parametrize(("name", "codec"), [("mjpeg.avi", "mjpeg"), ("phone.mov", "libx264")])
def test_full_range_becomes_limited(name, codec, project, step2):
    plain = write_clip(project.parent / "plain.mp4", *NATIVE)
    # The bars' white is 235 of 255: in limited range (ITU-R BT.709) 16 + 235 * 219 / 255 = 217.8.
    ffmpeg(
        "-i", str(plain), "-vf", "scale=out_range=full,format=yuvj420p", "-c:v", codec, "-q:v", "2", str(project / name)
    )
    plain.unlink()

    code, events = step2()

    assert (code, endings(events)) == (0, {name: ("done", None)})
    original = facts_of(project, Path(name).stem)["original"]["video"]
    assert original["pixel_format"] == "yuvj420p"
    proxy = project / "docs" / f"{Path(name).stem}.mp4"
    assert numbers_in(proxy) == list(range(50))
    with av.open(str(proxy)) as container:
        frames = list(container.decode(video=0))
    assert {frame.format.name for frame in frames} == {"yuv420p"}
    assert {int(frame.color_range) for frame in frames} <= {0, 1}
    assert abs(int(luma(frames[-1]).max()) - 218) < 6


def luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray()[: frame.height]


@pytest.mark.parametrize(("timecode", "drop"), [("10:00:00:00", False), ("01:00:00;02", True)])
def test_the_start_timecode_is_kept(timecode, drop, project, step2):
    plain = write_clip(project.parent / "plain.mp4", times_at(F(30000, 1001), 30), F(1, 30000))
    ffmpeg("-i", str(plain), "-c", "copy", "-timecode", timecode, str(project / "clip.mov"))
    plain.unlink()

    step2()

    original = facts_of(project, "clip")["original"]
    assert (original["start_timecode"], original["drop_frame"]) == (timecode, drop)


def test_bad_files_fail_by_name_and_the_good_one_is_done(project, step2, tmp_path):
    good = write_clip(project / "good.mov", *FILM, tone=(F(0), F(0), F(2)))
    whole = good.read_bytes()
    (project / "text.mp4").write_text("This is no video.\n" * 100)
    (project / "empty.mp4").touch()
    (project / "cut.mov").write_bytes(whole[: len(whole) // 2])  # its index was at the end
    ffmpeg("-i", str(good), "-vn", "-c", "copy", "-f", "mp4", str(project / "sound_only.mp4"))
    write_clip(project / "one.mov", [F(0)], F(1, 24))
    names = sorted(path.name for path in project.iterdir() if path.is_file())

    code, events = step2()

    assert code == 1
    assert endings(events) == {
        "good.mov": ("done", None),
        "one.mov": ("done", None),
        "text.mp4": ("failed", "not_a_video"),
        "empty.mp4": ("failed", "empty_file"),
        "cut.mov": ("failed", "damaged_source"),
        "sound_only.mp4": ("failed", "no_video_stream"),
    }
    cut = next(
        event["error"] for event in events if event["event"] == "item_done" and event["item"].endswith("cut.mov")
    )
    assert (
        cut["message"]
        == "cut.mov is cut off or damaged: it cannot be opened (Invalid data found when processing input)."
    )
    assert facts_of(project, "one")["proxy"]["frames"] == 1
    assert sorted(path.name for path in (project / "docs").glob("*.mp4")) == ["good.mp4", "one.mp4"]
    left = sorted(path.name for path in project.rglob("*") if path.is_file() and path.parent.name in (project.name, "sources"))  # fmt: skip
    assert left == names
    listed = json.loads((tmp_path / "here" / "videos_to_track.json").read_text())
    assert [Path(path).name for path in listed] == ["good.mp4", "one.mp4"]


def test_a_cut_off_video_gives_what_it_has_and_says_what_it_has_not(project, step2):
    whole = write_clip(project.parent / "whole.mp4", times_at(F(30), 120), F(1, 30), options={"g": "10", "bf": "0"}, container_options=FAST)  # fmt: skip
    content = whole.read_bytes()
    (project / "cut.mp4").write_bytes(content[: len(content) * 6 // 10])
    whole.unlink()

    code, events = step2()

    assert code == 0
    facts = facts_of(project, "cut")
    jsonschema.validate(facts, schema())
    assert {warning["code"] for warning in facts["warnings"]} == {"damaged_source"}
    assert "120" in facts["warnings"][0]["message"]
    assert next(event["code"] for event in events if event["event"] == "warning") == "damaged_source"
    seen = numbers_in(project / "docs" / "cut.mp4")
    assert len(seen) == facts["proxy"]["frames"] < 100
    assert seen == [min(number, seen[-1]) for number in sorted(seen)]


def test_a_cut_off_matroska_says_how_much_is_gone(project, step2):
    """It counts no frames in its header, but says how long it is."""
    whole = write_clip(project.parent / "whole.mkv", times_at(F(30), 120), F(1, 1000), options={"g": "10"})
    content = whole.read_bytes()
    (project / "cut.mkv").write_bytes(content[: len(content) * 6 // 10])
    (project / "whole.mkv").write_bytes(content)
    whole.unlink()

    code, events = step2()

    assert code == 0
    assert facts_of(project, "whole")["warnings"] == []
    (warning,) = facts_of(project, "cut")["warnings"]
    assert warning["code"] == "damaged_source" and "4.0 s" in warning["message"]
    assert [Path(event["item"]).name for event in events if event["event"] == "warning"] == ["cut.mkv"]


NAMES = [
    "with space.mov",
    'it\'s "quoted".mov',
    "Élan été 🎬.mov",
    "-leading.mov",
    "colon:% and,comma;[x].mov",
    "n" * 196 + ".mov",
]


def test_any_name_goes_through(project, step2):
    for name in NAMES:
        write_clip(project / name, times_at(F(24), 3), F(1, 24))

    code, events = step2()

    assert code == 0
    assert sorted(endings(events)) == sorted(NAMES)
    assert {path.name for path in (project / "sources").iterdir()} == set(NAMES)
    assert {path.stem for path in (project / "docs").glob("*.mp4")} == {name[:-4] for name in NAMES}


def test_clips_of_one_name_do_not_meet(project, step2):
    for name in ("A/clip.mov", "B/clip.mov", "B/clip.mkv"):
        (project / name).parent.mkdir(exist_ok=True)
        write_clip(project / name, times_at(F(24), 3), F(1, 24))

    code, _events = step2()
    again, events = step2()

    assert (code, again) == (0, 0)
    assert set(endings(events).values()) == {("up_to_date", None)}
    assert sorted(str(path.relative_to(project)) for path in (project / "sources").rglob("*.m*")) == ["sources/A/clip.mov", "sources/B/clip.mkv", "sources/B/clip.mov"]  # fmt: skip
    assert len(list((project / "docs").glob("*_source.json"))) == 3


def test_driven_by_lines_it_writes_no_list(project, step2, tmp_path):
    clip = write_clip(project / "A001.mov", *FILM)
    line = json.dumps({"kind": "original", "path": str(clip), "project": str(project)})

    code, events = step2("--videos", "-", input=line + "\n")
    later, again = step2("--videos", "-", input=line + "\n")  # the path as it was delivered: the file has moved since

    assert (code, later) == (0, 0)
    assert [endings(events), endings(again)] == [{"A001.mov": ("done", None)}, {"A001.mov": ("up_to_date", None)}]
    assert not list((tmp_path / "here").iterdir())


def test_a_file_outside_every_project_is_refused(tmp_path, step2):
    clip = write_clip(tmp_path / "stray.mov", *FILM)
    (tmp_path / "list.json").write_text(json.dumps([str(clip)]))

    code, events = step2("--videos", str(tmp_path / "list.json"))

    assert (code, endings(events)) == (1, {"stray.mov": ("failed", "not_in_a_project")})
    assert clip.exists()


def test_a_dry_run_does_nothing(project, step2, tmp_path):
    write_clip(project / "A001.mov", *FILM)

    _code, events = step2("--dry-run")

    assert endings(events) == {"A001.mov": ("skipped", None)}
    assert (project / "A001.mov").exists()
    assert not (project / "docs").exists()
    assert not list((tmp_path / "here").iterdir())
