"""PySceneDetect's adaptive and content detectors with their own settings, on a clip; prints the cuts and the seconds as JSON."""

from __future__ import annotations

import json
import sys
import time

from scenedetect import AdaptiveDetector, ContentDetector, detect

found = {}
for name, detector in {"adaptive": AdaptiveDetector, "content": ContentDetector}.items():
    started = time.perf_counter()
    scenes = detect(sys.argv[1], detector())
    seconds = time.perf_counter() - started
    found[name] = {"seconds": seconds, "cuts": [start.frame_num for start, _ in scenes[1:]]}
print(json.dumps(found))
