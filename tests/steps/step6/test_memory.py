"""STEP6 holds one frame in memory, whatever the size of its inputs: measured on the process itself."""

from __future__ import annotations

import json
import sys

MB = 1_000_000
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
