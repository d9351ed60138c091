"""`derush tracks`: from the command line to the script in tracking's environment, and back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import imageio_ffmpeg

from config.contract import Exit


def test_a_preview_is_made_of_a_video_by_its_name(
    places: dict[str, str], run_derush: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    docs = Path(places["PROJECTS_DIR"]) / "day 3/docs"
    docs.mkdir(parents=True)
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", "5", "-pix_fmt", "yuv420p"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, str(docs / "a.mp4")], check=True)
    facts = {"frames": 5, "width": 64, "height": 48, "has_audio": False}
    for suffix, document in (
        ("_source.json", {"proxy": facts, "original": {"sha256": "ab" * 32}}),
        ("_scenes.json", {"scenes": [{"start_frame": 0, "end_frame": 5}]}),
    ):
        (docs / f"a{suffix}").write_text(json.dumps(document))
    header = {"schema": "derush.tracking_raw/1", "total_frames": 5}
    frames = [{"frame": number, "objects": [], "active_speakers": []} for number in range(1, 6)]
    (docs / "a_tracking_raw.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in (header, *frames)))

    made = tmp_path / "a preview.mp4"
    done = run_derush("tracks", "preview", "day 3/a", "--output", str(made))
    assert done.returncode == 0, done.stderr
    with av.open(str(made)) as preview:
        (stream,) = preview.streams.video
        assert stream.codec_context.name == "h264"
        assert sum(1 for _ in preview.decode(stream)) == 5
    again = run_derush("tracks", "preview", "a", "--output", str(made))
    assert again.returncode == Exit.SOME_FAILED and "--force" in again.stderr
    assert run_derush("tracks", "preview", "nobody").returncode == Exit.USAGE
