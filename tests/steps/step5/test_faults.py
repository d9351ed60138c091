"""STEP5's script on footage that is odd or broken, on workers that are killed and on models cut short."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.steps.step5.conftest import MODEL_FILES, Workplace, ffmpeg, model_path

FRAMES = 40
_FIRST = "4.0"
"""Seconds into the interview from which a man is seen large and from the front, for more than FRAMES frames."""


def cut_out(clips: dict[str, Path], path: Path, *options: str) -> Path:
    """Take FRAMES frames of the interview with one face."""
    ffmpeg("-ss", _FIRST, "-i", str(clips["interview"]), "-frames:v", str(FRAMES), *options, str(path))
    return path


def irregular(number: int) -> int:
    """Return when a frame is shown, in thousandths of a second: 20 to 200 after the one before."""
    return sum((20, 200, 40, 35, 90)[count % 5] for count in range(number))


@pytest.fixture(scope="module")
def faults(
    new_workplace: Callable[[], Workplace], clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Workplace:
    """A workplace in which every odd video was tracked in one run, by YuNet."""
    place, made = new_workplace(), tmp_path_factory.mktemp("odd")
    lossless = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    plain = cut_out(clips, made / "plain.mp4", *lossless)
    place.add(plain, "plain", FRAMES, (640, 360))

    on_its_side = cut_out(clips, made / "side.mp4", "-vf", "transpose=1", *lossless)
    ffmpeg("-display_rotation", "90", "-i", str(on_its_side), "-c", "copy", str(made / "rotated.mp4"))
    place.add(made / "rotated.mp4", "rotated", FRAMES, (640, 360))

    cut_out(clips, made / "odd.mp4", "-vf", "crop=639:359:0:0", *lossless[:-1], "yuv444p")
    place.add(made / "odd.mp4", "odd", FRAMES, (639, 359))

    ffmpeg("-i", str(plain), "-frames:v", "2", "-vf", "scale=7680:4320", "-preset", "ultrafast", str(made / "8k.mp4"))
    place.add(made / "8k.mp4", "8k", 2, (7680, 4320))

    cut_out(clips, made / "pixel.mp4", "-vf", "scale=1:1", "-pix_fmt", "yuv444p")
    place.add(made / "pixel.mp4", "pixel", FRAMES, (1, 1))

    ffmpeg("-i", str(plain), "-frames:v", "1", str(made / "single.mp4"))
    place.add(made / "single.mp4", "single", 1, (640, 360))

    ffmpeg("-f", "lavfi", "-i", "color=black:s=640x360:r=25", "-frames:v", "25", str(made / "black.mp4"))
    place.add(made / "black.mp4", "black", 25, (640, 360))

    times = "+".join(f"eq(N,{number})*{irregular(number)}" for number in range(FRAMES))
    varying = (
        "-vf",
        f"settb=1/1000,setpts='{times}'",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1/1000",
        *lossless,
    )
    ffmpeg("-i", str(plain), *varying, str(made / "varying.mp4"))
    place.add(made / "varying.mp4", "varying", FRAMES, (640, 360))

    place.add(plain, "every frame a shot", FRAMES, (640, 360), tuple(range(1, FRAMES)))

    tiles = "trim=end_frame=10,crop=310:340:280:20,scale=128:128,fps=1500,tile=10x6,setpts=N/25/TB"
    ffmpeg("-i", str(plain), "-vf", tiles, "-r", "25", *lossless, str(made / "60.mp4"))
    place.add(made / "60.mp4", "sixty", 10, (1280, 768))

    place.variables = {"TRACKING_CPU_WORKERS": "2"}
    done = place.run("--tracking-engine", "opencv_yunet")
    assert done.returncode == 0, done.stderr
    assert {end["status"] for end in place.ended().values()} == {"done"}
    return place


def middles(place: Workplace, stem: str) -> list[list[tuple[float, float]]]:
    """Return of every frame the middles of what is tracked, as shares of the picture's width and height."""
    header, frames = place.tracking(stem)
    size = header["width"], header["height"]
    return [
        [(one["centroid"][0] / size[0], one["centroid"][1] / size[1]) for one in frame["objects"]] for frame in frames
    ]


def ids(place: Workplace, stem: str) -> list[list[int]]:
    return [[one["id"] for one in frame["objects"]] for frame in place.tracking(stem)[1]]


def test_every_video_has_a_line_for_every_frame(faults: Workplace) -> None:
    for stem in faults.ended():
        header, frames = faults.tracking(stem)
        assert [frame["frame"] for frame in frames] == list(range(1, header["total_frames"] + 1)), stem
    assert ids(faults, "plain") == [[1]] * FRAMES


@pytest.mark.parametrize("stem", ["rotated", "odd", "8k", "single"])
def test_a_face_is_where_it_is_whatever_the_picture_s_form(faults: Workplace, stem: str) -> None:
    expected, found = middles(faults, "plain"), middles(faults, stem)
    assert [len(frame) for frame in found] == [1] * len(found)
    apart = np.array(found) - np.array(expected[: len(found)])
    assert np.abs(apart).max() < 0.02
    assert {number for frame in ids(faults, stem) for number in frame} == {1}


@pytest.mark.parametrize("stem", ["black", "pixel"])
def test_where_nothing_is_nothing_is_told(faults: Workplace, stem: str) -> None:
    assert not any(middles(faults, stem))


def test_frames_are_counted_as_they_are_stored_not_by_their_times(faults: Workplace) -> None:
    assert faults.tracking("varying")[1] == faults.tracking("plain")[1]


def test_a_cut_at_every_frame_ends_every_track(faults: Workplace) -> None:
    assert ids(faults, "every frame a shot") == [[number] for number in range(1, FRAMES + 1)]
    people = {
        one["identity"]["person"]
        for frame in faults.tracking("every frame a shot")[1]
        for one in frame["objects"]
        if "identity" in one
    }
    assert len(people) == 1, "it is one man throughout"


def test_sixty_faces_in_a_frame_are_sixty_people(faults: Workplace) -> None:
    """Pictures of one man: that they share frames is all that tells them apart."""
    _, frames = faults.tracking("sixty")
    assert ids(faults, "sixty") == [list(range(1, 61))] * 10
    assert all(len({one["identity"]["person"] for one in frame["objects"]}) == 60 for frame in frames)
    cells = {(int(x * 10), int(y * 6)) for x, y in middles(faults, "sixty")[0]}
    assert len(cells) == 60


def test_a_damaged_video_is_tracked_with_a_warning_or_fails_with_a_code(
    workplace: Workplace, clips: dict[str, Path]
) -> None:
    """A tenth in the middle is overwritten; however many workers look, they agree on which it is."""
    workplace.add(clips["interview"], "damaged", 750, (640, 360))
    proxy = workplace.docs / "damaged.mp4"
    content = bytearray(proxy.read_bytes())
    middle, length = len(content) // 2, len(content) // 10
    content[middle : middle + length] = bytes(length)
    proxy.write_bytes(content)
    ends = []
    for workers in ("1", "3"):
        workplace.variables = {"TRACKING_CPU_WORKERS": workers}
        done = workplace.run("--tracking-engine", "opencv_yunet")
        end = workplace.ended()["damaged"]
        ends.append((end["status"], (end["error"] or {}).get("code")))
        assert "Traceback" not in done.stderr
        written = workplace.docs / "damaged_tracking_raw.jsonl"
        if end["status"] == "done":
            assert len(workplace.tracking("damaged")[1]) == 750
            assert "damaged_frames" in {event.get("code") for event in workplace.events()}
            written.unlink()
        else:
            assert done.returncode == 1 and end["error"]["code"] in {"decode_failed", "frame_count"}
            assert "STEP2" in end["error"]["remedy"] and not written.exists()
    assert ends[0] == ends[1]


def workers_of(manager: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(manager).children():
        with suppress(psutil.NoSuchProcess):
            found += [child] if "detection_worker.py" in " ".join(child.cmdline()) else []
    return found


def test_a_worker_killed_in_the_middle_changes_nothing(workplace: Workplace, clips: dict[str, Path]) -> None:
    workplace.add(clips["interview"], "interview", 750, (640, 360), (92, 137, 161))
    workplace.variables = {"TRACKING_CPU_WORKERS": "2"}
    arguments = ("--tracking-engine", "opencv_yunet", "--force")
    assert workplace.run(*arguments).returncode == 0
    written = workplace.docs / "interview_tracking_raw.jsonl"
    undisturbed = written.read_bytes()
    written.unlink()

    manager = workplace.start(*arguments)
    try:
        killed = first_worker_at_work(manager, workplace)
        killed.kill()
        _, said = manager.communicate(timeout=200)
    finally:
        manager.kill()
    assert manager.returncode == 0, said
    assert written.read_bytes() == undisturbed
    assert "done again" in workplace.ended()["interview"]["metrics"]["worker_notes"]


def first_worker_at_work(manager: subprocess.Popen[str], place: Workplace) -> psutil.Process:
    """Wait until frames are told, and return a worker that is still alive."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        said = place.events() if (place.root / "events").is_file() else []
        if any(event["event"] == "progress" for event in said) and (alive := workers_of(manager.pid)):
            return alive[0]
        assert manager.poll() is None, "it ended before a worker could be killed"
        time.sleep(0.01)
    raise AssertionError("no worker began")


def test_workers_end_with_a_manager_that_is_killed(workplace: Workplace, clips: dict[str, Path]) -> None:
    """Nobody is there to end them: they end by themselves, and their decoders with them."""
    workplace.add(clips["interview"], "interview", 750, (640, 360))
    workplace.variables = {"TRACKING_CPU_WORKERS": "2"}
    manager = workplace.start("--tracking-engine", "opencv_yunet")
    try:
        first_worker_at_work(manager, workplace)
        family = psutil.Process(manager.pid).children(recursive=True)
        assert any("detection_worker.py" in " ".join(one.cmdline()) for one in family)
        manager.kill()
        manager.wait()
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    finally:
        manager.kill()
        manager.communicate()
    assert not (workplace.docs / "interview_tracking_raw.jsonl").exists()


@pytest.mark.parametrize("name", ["yunet", "face_landmarker", "sface", "nanodet"])
def test_a_model_cut_short_is_named_with_its_remedy(workplace: Workplace, name: str) -> None:
    path = workplace.root / "models" / MODEL_FILES[name]
    path.unlink()
    path.write_bytes(model_path(name).read_bytes()[:-1000])
    engine = {"nanodet": "nanodet", "yunet": "opencv_yunet"}.get(name, "mediapipe_landmarker")
    done = workplace.run("--check", "--tracking-engine", engine)
    assert done.returncode == 3 and f"derush models fetch {name}" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("engine", "setting", "file"),
    [
        ("yolo", "step5_yolo_weights", ""),
        ("insightface", "step5_insightface_models", "scrfd.onnx"),
        ("openseeface", "step5_openseeface_models", "mnv3_detection_opt.onnx"),
    ],
)
def test_a_model_of_ones_own_cut_short_is_named_with_its_remedy(
    workplace: Workplace,
    own_models: dict[str, Path],
    clips: dict[str, Path],
    tmp_path: Path,
    engine: str,
    setting: str,
    file: str,
) -> None:
    """Its size is not known beforehand: it shows when the first video is at hand, and ends the step."""
    given = tmp_path / "given"
    (shutil.copytree if own_models[setting].is_dir() else shutil.copy)(own_models[setting], given)
    broken = given / file if file else given
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    workplace.add(clips["obama_speech"], "a", 219, (320, 240))
    workplace.variables = {setting.upper(): str(given)}
    done = workplace.run("--tracking-engine", engine)
    assert done.returncode == 3, done.stderr
    assert str(broken) in done.stderr and setting.upper() in done.stderr and "Traceback" not in done.stderr
    assert not (workplace.docs / "a_tracking_raw.jsonl").exists()
