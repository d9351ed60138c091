"""STEP2: delivered videos in, 25 fps proxies and the map back to the originals out."""
