"""ultralytics' ByteTrack and BoT-SORT on the detections that ours had, and trackeval's figures of all three.

    <environment>/bin/python rival_trackers.py FOLDER SCENES_PER_KIND

Prints a JSON object: of each tracker HOTA, IDF1 and switches over the composites; of ours HOTA in vtest.avi. Each rival runs
as shipped and with our two bands, and its better figure counts. Like ours they begin anew at a cut.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["YOLO_AUTOINSTALL"] = "false"
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np
from trackeval.metrics import CLEAR, HOTA, Identity
from ultralytics.engine.results import Boxes
from ultralytics.trackers.bot_sort import BOTSORT
from ultralytics.trackers.byte_tracker import BYTETracker
from ultralytics.utils import ROOT, YAML

from scripts.bench.tracking_truth.composites import composites
from scripts.bench.tracking_truth.scoring import overlap, unpacked

RIVALS = {"bytetrack": BYTETracker, "botsort": BOTSORT}
BANDS: dict[str, dict[str, float]] = {
    "as shipped": {},
    "our bands": {"track_high_thresh": 0.7, "track_low_thresh": 0.5, "new_track_thresh": 0.7},
}


def main(folder: Path, per_kind: int) -> None:
    """Follow, judge, print."""
    scenes = {path.stem: dict(np.load(path)) for path in sorted((folder / "composites").glob("*.npz"))}
    with np.load(folder / "figures.npz") as arrays:
        cast = unpacked(arrays)
    tracks: dict[str, dict[str, Any]] = {"ours": {name: scene["ours"] for name, scene in scenes.items()}}
    for scene in composites(*cast, per_kind):
        pictures = [picture for picture, _ in scene.play()]
        for rival in RIVALS:
            for bands, changed in BANDS.items():
                rows = followed(rival, changed, scenes[scene.name], pictures)
                tracks.setdefault(f"{rival}, {bands}", {})[scene.name] = rows
    found = {
        name: scored({scene: (scenes[scene], rows) for scene, rows in each.items()}) for name, each in tracks.items()
    }
    labelled = folder / "vtest.npz"
    if labelled.is_file():
        vtest = dict(np.load(labelled))
        found["vtest"] = scored({"vtest": (vtest, vtest["ours"])})
    print(json.dumps(found))


def followed(rival: str, changed: dict[str, float], scene: dict[str, Any], pictures: list[Any]) -> Any:
    """Return a rival's tracks (frame, id, box) of one scene."""
    settings = YAML.load(ROOT / f"cfg/trackers/{rival}.yaml") | changed
    rows: list[tuple[float, ...]] = []
    base = 0
    for first, end in pairwise([0, *scene["cuts"].tolist(), int(scene["frames"])]):
        tracker = RIVALS[rival](SimpleNamespace(device="cpu", **settings))
        for number in range(first, end):
            seen = scene["detections"][scene["detections"][:, 0] == number]
            boxes = np.column_stack([seen[:, 1:6], np.zeros(len(seen))]).astype(np.float32)
            told = tracker.update(Boxes(boxes, pictures[number].shape[:2]), pictures[number])
            rows += [(number, base + row[4], *row[:4]) for row in told]
        base = int(max([base, *(row[1] for row in rows)]))
    return np.array(rows, np.float64).reshape(-1, 6)


def scored(scenes: dict[str, tuple[dict[str, Any], Any]]) -> dict[str, float]:
    """Return trackeval's figures over some scenes, each its truth and somebody's tracks."""
    sequences = {name: sequence(truth, rows) for name, (truth, rows) in scenes.items()}
    with contextlib.redirect_stdout(io.StringIO()):
        metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
        each = [{name: metric.eval_sequence(one) for name, one in sequences.items()} for metric in metrics]
        hota, clear, identity = (metric.combine_sequences(found) for metric, found in zip(metrics, each, strict=True))
    return {
        "hota": float(hota["HOTA"].mean()), "deta": float(hota["DetA"].mean()), "assa": float(hota["AssA"].mean()),
        "idf1": float(identity["IDF1"]), "switches": int(clear["IDSW"]),
    }  # fmt: skip


def sequence(truth: dict[str, Any], rows: Any) -> dict[str, Any]:
    """Return one scene as trackeval takes it. After a cut a figure is another: no tracker is to join what is cut apart."""
    cuts = truth["cuts"].tolist()
    data: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    known: dict[Any, int] = {}
    told: dict[Any, int] = {}
    for number in range(int(truth["frames"])):
        shot = sum(cut <= number for cut in cuts)
        there, found = (
            table[table[:, 0] == number] if len(table) else table.reshape(0, 6) for table in (truth["truth"], rows)
        )
        data["gt_ids"].append(np.array([known.setdefault((shot, one), len(known)) for one in there[:, 1]], int))
        data["tracker_ids"].append(np.array([told.setdefault(one, len(told)) for one in found[:, 1]], int))
        data["similarity_scores"].append(overlap(there[:, 2:6], found[:, 2:6]))
    return data | {
        "num_gt_ids": len(known), "num_tracker_ids": len(told), "num_timesteps": int(truth["frames"]),
        "num_gt_dets": len(truth["truth"]), "num_tracker_dets": len(rows),
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
