"""PySceneDetect's adaptive and content detectors with their own settings, on clips; prints the cuts and the seconds as JSON."""

from __future__ import annotations

import json
import sys
import time

from scenedetect import AdaptiveDetector, ContentDetector, detect

found = {}
for name, detector in {"adaptive": AdaptiveDetector, "content": ContentDetector}.items():
    started = time.perf_counter()
    scenes = [detect(clip, detector()) for clip in sys.argv[1:]]
    seconds = time.perf_counter() - started
    cuts = [[start.frame_num for start, _ in shots[1:]] for shots in scenes]
    found[name] = {"seconds": seconds, "cuts": cuts}
print(json.dumps(found))
