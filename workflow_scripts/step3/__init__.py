"""STEP3: scene detection with TransNetV2."""
