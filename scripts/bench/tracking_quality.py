"""How well things are followed, and who speaks: against exact truth, beside ultralytics' trackers given the same detections.

    envs/env/bin/python scripts/bench/tracking_quality.py [--quick]

Forty scenes of faces (and, with vtest.avi, persons) cut out of clips, moved, crossed, hidden, cut and resized; 20 frames of
vtest.avi labelled by hand; the demo's clips; ten scenes of voices. trackeval judges. vtest.avi is fetched once from Debian's
`opencv-doc`, where apt is; without it its figure is null. Takes about six minutes on two cores that do nothing else;
`--quick`, with one scene of each kind, no scenes of persons, two scenes of voices and ten seconds of each clip, under one.

Last line: `{"hota", "idf1", "hota_bytetrack", "hota_botsort", "hota_vtest", "short_tracks", "speaker_clip",
"speaker_composites"}`. `short_tracks` is the share of tracks of three frames or fewer in the demo's clips; `speaker_clip` the
share of speech in obama_speech in which the speaker is told right; `speaker_composites` the mean share of frames with a voice
in which all faces are.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[2])

from config.settings import REPOSITORY, load_settings
from scripts.bench.other_tools import OTHERS, at_home, install
from services.commands import environment
from services.environments import environments

RIVALS = REPOSITORY / ".cache" / "bench-tracking"
DOCS = REPOSITORY / ".cache" / "opencv-doc"
VTEST = DOCS / "usr/share/doc/opencv-doc/examples/data/vtest.avi"


def main() -> None:
    """Measure, judge, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    per_kind = "1" if parser.parse_args().quick else "5"
    install(RIVALS, OTHERS / "tracking.txt")
    clip = vtest()
    with tempfile.TemporaryDirectory() as folder:
        interpreter = str(environments(load_settings())["tracking_env"].interpreter)
        measure = [interpreter, "-m", "scripts.bench.tracking_truth.measure"]
        voices = subprocess.Popen([*measure, "voices", folder, per_kind], cwd=REPOSITORY)  # meanwhile
        try:
            subprocess.run([*measure, "scenes", folder, per_kind, *map(str, clip)], cwd=REPOSITORY, check=True)
            judge = [str(RIVALS / "bin" / "python"), str(OTHERS / "rival_trackers.py"), folder, per_kind]
            changes = at_home(folder) | {"YOLO_CONFIG_DIR": folder, "MPLCONFIGDIR": folder}
            told = subprocess.run(judge, env=environment(changes), check=True, stdout=subprocess.PIPE, text=True).stdout
            if voices.wait() != 0:
                raise SystemExit("Measuring voices failed.")
        finally:
            voices.kill()
        show(json.loads(told.splitlines()[-1]), json.loads(Path(folder, "measured.json").read_text(encoding="utf-8")))


def vtest() -> list[Path]:
    """Return vtest.avi, fetched where it can be; nothing where it cannot."""
    if not VTEST.is_file() and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        with tempfile.TemporaryDirectory() as folder:
            fetched = subprocess.run(["apt-get", "download", "-q", "opencv-doc"], cwd=folder, check=False)
            for package in Path(folder).glob("*.deb") if fetched.returncode == 0 else ():
                subprocess.run(["dpkg-deb", "-x", str(package), str(DOCS)], check=True)
    return [VTEST] if VTEST.is_file() else []


def show(scores: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
    """Print the tables and the last line."""
    print(f"{'':24} {'HOTA':>6} {'DetA':>6} {'AssA':>6} {'IDF1':>6} {'switches':>9}")
    for name, found in scores.items():
        row = " ".join(f"{found[key]:6.3f}" for key in ("hota", "deta", "assa", "idf1"))
        print(f"{name:24} {row} {found['switches']:9}")
    print()
    for stem, found in measured["clips"].items():
        print(
            f"{stem:24} {found['tracks'] / found['minutes']:6.1f} ids a minute, {found['short']} of {found['tracks']} short"
        )
    talks, clip = measured["talks"], measured["speaker_clip"]
    print(f"\nspeaker right in obama_speech {clip['speaker']:.3f}, listener marked in {clip['listener']:.3f}")
    print("scenes of voices right: " + " ".join(f"{share:.2f}" for share in talks) + "\n")
    tracks = sum(found["tracks"] for found in measured["clips"].values())
    print(json.dumps({
        "hota": round(scores["ours"]["hota"], 4),
        "idf1": round(scores["ours"]["idf1"], 4),
        "hota_bytetrack": round(best(scores, "bytetrack"), 4),
        "hota_botsort": round(best(scores, "botsort"), 4),
        "hota_vtest": round(scores["vtest"]["hota"], 4) if "vtest" in scores else None,
        "short_tracks": round(sum(found["short"] for found in measured["clips"].values()) / tracks, 4),
        "speaker_clip": round(clip["speaker"], 4),
        "speaker_composites": round(sum(talks) / len(talks), 4),
    }))  # fmt: skip


def best(scores: Mapping[str, Any], rival: str) -> float:
    """Return a rival's better figure."""
    return max(float(found["hota"]) for name, found in scores.items() if name.startswith(rival))


if __name__ == "__main__":
    main()
