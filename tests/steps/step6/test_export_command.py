"""`derush export` as a person types it, the exports that STEP6 makes by itself, and a real original, picture by picture."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from config.settings import EXPORT_FORMATS
from tests.integration.media import BINARY
from tests.steps.step6.conftest import Workplace
from tests.steps.step6.exported import (
    box,
    constant,
    exported,
    valid,
    write_scenes,
    write_speech,
    write_tracks,
    write_video,
)
from tests.steps.step6.timelines import read_edl, read_fcpxml
from workflow_scripts.step6.exports.files import write
from workflow_scripts.step6.exports.formats import FORMATS
from workflow_scripts.step6.exports.material import NEEDS
from workflow_scripts.step6.exports.timeline import Export
from workflow_scripts.stepkit.errors import Interrupted
from workflow_scripts.stepkit.projects import Project, Video

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPTS = REPOSITORY / "workflow_scripts"
F = Fraction


def settings(root: Path, **more: str) -> dict[str, str]:
    places = {"PROJECTS_DIR": "projects", "OUTPUT_DIR": "output", "LOGS_DIR": "logs", "DATA_DIR": "data"}
    variables = {name: str(root / place) for name, place in places.items()}
    return {"PATH": os.environ["PATH"], "DERUSH_ENV_FILE": os.devnull, **variables, **more}


def derush(root: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", "export", *arguments]
    return subprocess.run(
        command, env=settings(root, **more), cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def video(tmp_path: Path) -> Video:
    """A video with everything, in the project `Projet 1`."""
    made = write_video(tmp_path / "projects/Projet 1/docs", "clip", constant(F(50), 4, "01:00:00:00"))
    write_scenes(made, [10])
    write_speech(made, [(0, 1000, "Zoé", "oui")])
    write_tracks(made, lambda frame: [box(1, 0, 0, 2, 2)])
    return made


def test_every_format_of_a_project(video: Video, tmp_path: Path) -> None:
    ran = derush(tmp_path, "Projet 1", "--to", "all", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    report = valid("export", json.loads(ran.stdout))
    assert [made["format"] for made in report["files"]] == list(FORMATS) == list(EXPORT_FORMATS)
    folder = video.project.path / "exports"
    assert {Path(made["path"]).name: made["bytes"] for made in report["files"]} == {
        path.name: path.stat().st_size for path in folder.iterdir()
    }
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    assert derush(tmp_path, "Projet 1", "--to", "all").returncode == 0
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before


@pytest.mark.parametrize("target", ["clip", "Projet 1/clip", "docs/clip.mp4", "sources/clip.mov", "."])
def test_a_video_may_be_named_in_every_way(target: str, video: Video, tmp_path: Path) -> None:
    path = video.project.path / target
    ran = derush(tmp_path, str(path) if path.exists() else target, "--to=edl,rttm", "--against", "proxy")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [str(path.parent / path.name) for path in (video.project.path / "exports" / name for name in ("clip.proxy.edl", "clip.proxy.rttm"))]  # fmt: skip


def test_a_delivered_project_is_found_where_it_is(video: Video, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    video.project.path.rename(tmp_path / "output/Projet 1")
    assert derush(tmp_path, "Projet 1/clip", "--to", "csv").returncode == 0
    assert (tmp_path / "output/Projet 1/exports/clip.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["clip"], "nothing_asked"), (["--to", "otio"], "nothing_asked"), (["clip", "--to", "avi"], "no_such_format"),
        (["nobody", "--to", "otio"], "no_such_video"), (["../projects/Projet 1", "--to", "otio"], "no_such_video"),
        (["clip", "--to", "otio", "--paths", "absolute"], "paths_in_project"), (["twin", "--to", "otio"], "several_videos"),
    ],
)  # fmt: skip
def test_wrong_usage(arguments: list[str], code: str, video: Video, tmp_path: Path) -> None:
    for project in ("A", "B"):
        write_video(tmp_path / f"projects/{project}/docs", "twin", constant(F(25), 1))
    ran = derush(tmp_path, *arguments)
    assert ran.returncode == 2
    assert f"({code})" in ran.stderr and not ran.stdout
    assert not (video.project.path / "exports").exists()


def test_formats_are_listed_with_what_opens_them(tmp_path: Path) -> None:
    ran = derush(tmp_path, "--list")
    assert ran.returncode == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()] == list(FORMATS)


@pytest.mark.parametrize("need", NEEDS)
def test_what_is_missing_is_said_and_the_rest_is_made(need: str, video: Video, tmp_path: Path) -> None:
    suffix, step = NEEDS[need]
    video.artefact(suffix).unlink()
    ran = derush(tmp_path, "clip", "--to", "all", "--json")
    report = valid("export", json.loads(ran.stdout))
    lacking = [made.name for made in FORMATS.values() if need in made.needs]
    assert [problem["format"] for problem in report["problems"]] == lacking
    assert {said["code"] for said in report["problems"] + report["warnings"]} == {f"no_{need}"}
    assert all(step in said["remedy"] for said in report["problems"] + report["warnings"])
    assert ran.returncode == (1 if lacking else 0)
    assert {made["format"] for made in report["files"]} == set(FORMATS) - set(lacking)


def test_speech_without_words_makes_no_subtitles(video: Video, tmp_path: Path) -> None:
    write_speech(video, [], text=None, turns=[{"start_ms": 0, "end_ms": 900, "speaker": None}])
    ran = derush(tmp_path, "clip", "--to", "srt,rttm")
    assert ran.returncode == 1 and "(no_text)" in ran.stderr and "LEMONFOX_API_KEY" in ran.stderr
    assert ran.stdout.endswith("clip.rttm\n")


def test_a_video_without_sound_has_empty_subtitles(video: Video, tmp_path: Path) -> None:
    write_speech(video, [], audio="none", text=None)
    assert derush(tmp_path, "clip", "--to", "srt").returncode == 0
    assert (video.project.path / "exports/clip.srt").read_bytes() == b""


@pytest.mark.parametrize("suffix", ["_source.json", "_scenes.json", "_audio_raw.json"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"scenes": [{"start_frame": 1, "end_frame": 0}], "turns": [[]]}', b"\xff"]
)
def test_broken_artefacts_are_named(suffix: str, content: bytes, video: Video, tmp_path: Path) -> None:
    video.artefact(suffix).write_bytes(content)
    ran = derush(tmp_path, "clip", "--to", "otio,srt", "--json")
    report = json.loads(ran.stdout)
    said = [each for each in report["problems"] + report["warnings"] if video.artefact(suffix).name in each["message"]]
    assert said and all("Run STEP" in each["remedy"] for each in said)
    assert ran.returncode == (0 if suffix == "_scenes.json" else 1)


@pytest.mark.parametrize("below", ["../outside.mov", "/etc/passwd", "sources/../../outside.mov"])
def test_an_original_outside_its_project_is_refused(below: str, video: Video, tmp_path: Path) -> None:
    path = video.artefact("_source.json")
    known = json.loads(path.read_text())
    known["original"]["path"] = below
    path.write_text(json.dumps(known))
    assert "(no_source_facts)" in derush(tmp_path, "clip", "--to", "otio").stderr


def test_a_medium_that_is_gone_is_said(video: Video, tmp_path: Path) -> None:
    (video.project.path / "sources/clip.mov").unlink()
    ran = derush(tmp_path, "clip", "--to", "otio")
    assert ran.returncode == 0 and "(no_media)" in ran.stderr


def test_elsewhere_nothing_of_others_is_replaced(video: Video, tmp_path: Path) -> None:
    output = tmp_path / "cut"
    output.mkdir()
    (output / "clip.otio").write_text("the cut of a week")
    (output / "clip.edl").symlink_to(tmp_path / "precious")
    ran = derush(tmp_path, "clip", "--to", "otio,edl,fcpxml", "--output", str(output), "--paths", "absolute")
    assert ran.returncode == 1 and ran.stderr.count("(file_exists)") == 2
    assert (output / "clip.otio").read_text() == "the cut of a week"
    document = (output / "clip.fcpxml").read_text()
    assert (video.project.path / "sources/clip.mov").as_uri() in document
    assert derush(tmp_path, "clip", "--to", "otio,edl", "--output", str(output), "--force").returncode == 0
    assert not (tmp_path / "precious").exists() and not (output / "clip.edl").is_symlink()
    assert sorted(path.name for path in output.iterdir()) == ["clip.edl", "clip.fcpxml", "clip.otio"]


def test_relative_paths_lead_from_any_folder(video: Video, tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "a").symlink_to(tmp_path / "real/deep")
    assert derush(tmp_path, "clip", "--to", "otio", "--output", str(tmp_path / "a/b")).returncode == 0
    url = json.loads((tmp_path / "a/b/clip.otio").read_text())["tracks"]["children"][0]["children"][0]["media_references"]["DEFAULT_MEDIA"]["target_url"]  # fmt: skip
    assert (tmp_path / "a/b" / url.replace("%20", " ")).resolve() == video.project.path / "sources/clip.mov"


def test_a_name_may_be_as_long_as_a_disk_lets_it(tmp_path: Path) -> None:
    write_video(tmp_path / "projects/p/docs", "日" * 76, constant(F(25), 1), name="a.mov")
    ran = derush(tmp_path, "p", "--to", "coco,otio", "--against", "proxy")
    assert ran.returncode == 1 and "(no_tracks)" in ran.stderr
    assert [path.name for path in (tmp_path / "projects/p/exports").iterdir()] == [f"{'日' * 76}.proxy.otio"]


def test_a_file_that_was_delivered_is_not_replaced(video: Video, tmp_path: Path) -> None:
    record = video.project.archive_record
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"members": [{"path": "exports/clip.edl"}]}))
    (video.project.path / "exports").mkdir()
    (video.project.path / "exports/clip.edl").write_text("theirs")
    ran = derush(tmp_path, "clip", "--to", "edl,csv")
    assert ran.returncode == 1 and "(delivered_file)" in ran.stderr
    assert (video.project.path / "exports/clip.edl").read_text() == "theirs"


def test_a_full_disk_leaves_what_was_there(video: Video, tmp_path: Path) -> None:
    assert derush(tmp_path, "clip", "--to", "mot").returncode == 0
    path = video.project.path / "exports/clip.mot.txt"
    before = path.read_bytes()
    write_tracks(video, lambda frame: [box(track, 0, 0, 2, 2) for track in range(1, 40)])
    limited = f"ulimit -f 64; exec {sys.executable} -m services.cli export clip --to mot"
    ran = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {limited}"],
        env=settings(tmp_path),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1, ran.stderr
    assert path.read_bytes() == before and [path] == list(path.parent.iterdir())


def test_an_interruption_leaves_what_was_there(tmp_path: Path, video: Video) -> None:
    def half(_export: Export, path: Path) -> None:
        path.write_text("half")
        raise Interrupted("signal 2")

    path = tmp_path / "out/clip.edl"
    write(exported(video), FORMATS["edl"], path, replace=True)
    before = path.read_bytes()
    with pytest.raises(Interrupted):
        write(exported(video), replace(FORMATS["edl"], write=half), path, replace=True)
    assert [path] == list(path.parent.iterdir()) and path.read_bytes() == before


def test_what_a_killed_export_left_is_swept(tmp_path: Path, video: Video) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(timeout=60)
    names = [f".export.{platform.node()}+{ended.pid}.tmp", f".export.{platform.node()}+{os.getppid()}.tmp"]
    names += [f".export.elsewhere+{ended.pid}.tmp", ".export.tmp"]
    for name in names:
        (folder / name).write_text("half")
    write(exported(video), FORMATS["edl"], folder / "clip.edl", replace=False)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names[1:], "clip.edl"])


def test_step6_makes_what_the_setting_names(workplace: Workplace) -> None:
    video = write_video(workplace.docs, "clip", constant(F(25), F(3, 25)))
    write_scenes(video, [2])
    write_speech(video, [], text=None, turns=[{"start_ms": 0, "end_ms": 80, "speaker": "A"}], total_frames=3)
    workplace.write_audio(
        [(True, ["A"])] * 3,
        turns=[{"start_ms": 0, "end_ms": 80, "speaker": "A"}],
        audio="present",
        text=None,
        segments=[],
    )
    workplace.variables["EXPORTS"] = "edl,parquet,srt"
    assert workplace.run().returncode == 0
    folder = video.project.path / "exports"
    assert sorted(path.name for path in folder.iterdir()) == ["clip.edl", "clip.parquet"]
    assert read_edl((folder / "clip.edl").read_text(), F(25)).shots == [(0, 2), (2, 3)]
    events = workplace.events()
    assert {event["kind"] for event in events if event["event"] == "artefact"} == {
        "audio",
        "tracking",
        "export_edl",
        "export_parquet",
    }
    assert [event["code"] for event in events if event["event"] == "warning"] == ["no_text"]
    assert workplace.run().returncode == 0
    assert [event["status"] for event in workplace.events() if event["event"] == "item_done"] == ["up_to_date"]
    write_scenes(video, [1])
    assert workplace.run().returncode == 0
    assert read_edl((folder / "clip.edl").read_text(), F(25)).shots == [(0, 1), (1, 3)]


def test_step6_refuses_a_format_that_is_none(workplace: Workplace) -> None:
    workplace.variables["EXPORTS"] = "edl,avi"
    ran = workplace.run()
    assert ran.returncode == 2 and "EXPORTS=edl,avi: accepted: otio, edl," in ran.stderr


def lightness(path: Path, frames: int) -> list[float]:
    """How light each frame is, as it is stored: the mean of its pixels."""
    command = [BINARY, "-v", "error", "-i", f"file:{path}", "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", "scale=1:1:flags=area", "-pix_fmt", "gray", "-f", "rawvideo", "-"]  # fmt: skip
    values = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert len(values) == frames
    return [float(value) for value in values]


REAL = {
    "23.976": ("24000/1001", "01:00:00:00", []),
    "29.97 drop-frame over midnight": ("30000/1001", "23:59:59;20", []),
    "50": ("50", "01:00:00:00", []),
    "59.94 over midnight": ("60000/1001", "23:59:59:50", []),
    "variable": ("30", None, ["-vf", "setpts='(N+0.3*sin(N)+floor(N/9))/(30*TB)'", "-fps_mode", "vfr"]),
}


@pytest.mark.parametrize("case", REAL)
def test_the_frames_of_a_real_original_are_those_of_its_proxy(case: str, tmp_path: Path) -> None:
    """Every frame has a lightness of its own: what a timeline names must look as what the proxy shows."""
    rate, timecode, options = REAL[case]
    suffix = "mkv" if case == "variable" else "mov"
    path = tmp_path / f"projects/p/a.{suffix}"
    path.parent.mkdir(parents=True)
    picture = f"nullsrc=s=64x64:r={rate}:d=1.5,geq=lum='20+2*N':cb=128:cr=128"
    stamped = ["-timecode", timecode] if timecode else []
    command = [BINARY, "-v", "error", "-f", "lavfi", "-i", picture, *options, *stamped, "-c:v", "ffv1" if suffix == "mkv" else "prores_ks", f"file:{path}"]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    environment = settings(tmp_path)
    convert = [sys.executable, str(SCRIPTS / "step2/convert_videos.py")]
    assert subprocess.run(convert, env=environment, cwd=REPOSITORY, capture_output=True, timeout=120).returncode == 0
    original = tmp_path / f"projects/p/sources/a.{suffix}"
    known = json.loads((tmp_path / "projects/p/docs/a_source.json").read_text())
    video = Video(Project(tmp_path / "projects/p"), "a")
    shots = write_scenes(video, range(3, known["proxy"]["frames"], 4))
    assert derush(tmp_path, "a", "--to", "fcpxml,edl").returncode in (0, 1)
    delivered = lightness(original, known["frame_map"]["original_frames"])
    shown = lightness(video.proxy, known["proxy"]["frames"])
    read = read_fcpxml((video.project.path / "exports/a.fcpxml").read_text())
    assert read.rate is not None
    assert read.shots == read_edl((video.project.path / "exports/a.edl").read_text(), read.rate).shots
    stamps = stamps_of(original)
    for (first, _), (start, _) in zip(read.shots[1:], shots[1:], strict=True):
        named = max(k for k, stamp in enumerate(stamps) if stamp <= (first + F(1, 7)) / read.rate)
        alike = min(range(len(delivered)), key=lambda k: abs(delivered[k] - shown[start]))
        assert named == alike, (first, start)


def stamps_of(path: Path) -> list[Fraction]:
    """When each of a file's frames begins, in seconds after the first."""
    with av.open(str(path)) as container:
        stamps = sorted(frame.pts * frame.time_base for frame in container.decode(video=0))
    return [stamp - stamps[0] for stamp in stamps]
