"""What scripts/bench/tracking_quality.py measures with, under tracking_env: scenes with exact truth, labelled footage."""
