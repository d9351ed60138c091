"""STEP6's reduction of raw tracking as a sensible person writes it with Python's json: RAW.jsonl REDUCED.json."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Read line by line, keep what is wanted, write it."""
    raw, reduced = sys.argv[1:]
    frames = []
    with Path(raw).open(encoding="utf-8") as lines:
        header = json.loads(next(lines))
        for line in lines:
            frame = json.loads(line)
            objects = [
                {
                    "id": seen["id"],
                    "centroid_x": round(seen["centroid"][0], 1),
                    "source": seen["source"],
                    "label": seen["label"],
                    "confidence": round(seen["confidence"], 4),
                    "active_speakers": seen.get("active_speakers", []),
                    "bbox_width": round(seen["bbox"][2], 1),
                    "bbox_height": round(seen["bbox"][3], 1),
                }
                for seen in frame["objects"]
            ]
            frames.append({"frame": frame["frame"], "tracked_objects": objects})
    document = {"frames_analysis": frames, "fps": header["fps"], "total_frames": header["total_frames"]}
    with Path(reduced).open("w", encoding="utf-8") as stream:
        json.dump(document, stream)


main()
