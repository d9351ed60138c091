"""STEP6 holds one frame in memory, whatever the size of its inputs: measured on the process itself."""

from __future__ import annotations

import json
import sys

import pytest

from tests.steps.step6.conftest import FACE

MB = 1_000_000
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (400_000_000, 400_000_000))
os.execv(sys.argv[1], sys.argv[1:])
"""
WATCHED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _write_frames(path, head, frame, tail, separator, size):
    """Write frames (`%d` is the number) until the file has `size` bytes; return how many."""
    count = size // len(frame)
    with path.open("w") as stream:
        stream.write(head.replace("COUNT", str(count)))
        for number in range(1, count + 1):
            stream.write((separator if number > 1 else "") + frame % number)
        stream.write(tail)
    return count


def _write_inputs(workplace, audio_size, tracking_size):
    spoken = '{"frame": %d, "is_speech_present": true, "active_speaker_labels": ["SPEAKER_00"]}'
    head = '{"video_filename": "clip.mp4", "total_frames": COUNT, "fps": 25, "frames_analysis": ['
    _write_frames(workplace.docs / "clip_audio_raw.json", head, spoken, "]}", ",", audio_size)
    landmarks = json.dumps([[round(i * 1.234567, 5), i] for i in range(478)])
    tracked = (
        '{"id": 1, "bbox": [1.25, 2, 3, 4], "centroid": [5.5, 6], "source": "s", "label": "face", '
        f'"confidence": 0.5, "landmarks": {landmarks}}}'
    )
    head = '{"video_filename": "clip.mp4", "total_frames": COUNT, "fps": 25}\n'
    line = '{"frame": %d, "objects": [' + ", ".join([tracked] * 4) + "]}\n"
    return _write_frames(workplace.docs / "clip_tracking_raw.jsonl", head, line, "", "", tracking_size)


def _peak(workplace):
    """Reduce, and return the peak of the script's resident memory in bytes."""
    done = workplace.run(below=[sys.executable, "-c", WATCHED])
    code, kilobytes = map(int, done.stdout.split())
    assert code == 0, done.stderr
    return kilobytes * 1024


def test_ten_times_the_input_takes_the_same_memory(workplace):
    frames = _write_inputs(workplace, 4 * MB, 20 * MB)
    small = _peak(workplace)
    assert workplace.made("_tracking.json")["total_frames"] == frames
    _write_inputs(workplace, 40 * MB, 200 * MB)
    large = _peak(workplace)
    assert large - small < 8 * MB
    assert large < 100 * MB


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space has no limit")
def test_an_object_larger_than_the_address_space_is_reduced(workplace):
    """The older form, on one line, with its facts last: 430 MB of it in 400 MB of address space."""
    faces = [{**FACE, "id": number, "landmarks": [[1.5, 2.5]] * 4000} for number in range(6)]
    frame = '{"frame": %d, "objects": ' + json.dumps(faces) + "}"
    size = 430 * MB
    (workplace.docs / "clip_tracking_raw.jsonl").unlink()
    raw = workplace.docs / "clip_tracking_raw.json"
    frames = _write_frames(raw, '{"frames": [', frame, '], "fps": 25}', ",", size)
    assert raw.stat().st_size > 0.99 * size
    workplace.write_source(frames)
    workplace.write_audio([(False, [])] * frames)
    workplace.variables["STEP6_KEYFRAMES"] = "2"
    done = workplace.run(below=[sys.executable, "-c", LIMITED])
    assert done.returncode == 0, done.stderr
    assert len(workplace.made("_tracking.json")["frames_analysis"]) == frames
