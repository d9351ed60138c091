"""Blendshapes: what MediaPipe's face landmarker tells of a face's expression, and which of it is written.

Names and order: mediapipe/tasks/cc/vision/face_landmarker/face_blendshapes_graph.cc.
"""

from __future__ import annotations

from config.settings import Settings
from workflow_scripts.stepkit import UsageError

_NAMES = (
    "_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft "
    "cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight "
    "eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight "
    "jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight "
    "mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight "
    "mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft "
    "mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight"
)
BLENDSHAPE_NAMES = tuple(_NAMES.split())
JAW_OPEN = BLENDSHAPE_NAMES.index("jawOpen")
CUSTOM = "custom"
_MOUTH_PREFIXES = ("jaw", "mouth")


def check_profile(settings: Settings) -> None:
    """Raise UsageError unless the profile `custom` has names, and those that are named exist."""
    named = settings.step5_blendshapes_custom
    remedy = f"Accepted, parted by commas: {', '.join(BLENDSHAPE_NAMES)}."
    if unknown := [name for name in named if name not in BLENDSHAPE_NAMES]:
        sentence = f"STEP5_BLENDSHAPES_CUSTOM names {', '.join(unknown)}, and no blendshape is called so."
        raise UsageError("unknown_blendshape", sentence, remedy)
    if settings.step5_blendshapes_profile == CUSTOM and not named:
        sentence = "STEP5_BLENDSHAPES_PROFILE=custom writes what STEP5_BLENDSHAPES_CUSTOM names, and that is empty."
        raise UsageError("no_blendshapes", sentence, f"{remedy} To write none, set STEP5_BLENDSHAPES_PROFILE=none.")


def kept(settings: Settings, names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the indices, in order, of the blendshapes of `names` that are to be written."""
    wanted = wanted_names(settings)
    return tuple(index for index, name in enumerate(names) if name in wanted)


def wanted_names(settings: Settings) -> tuple[str, ...]:
    """Return the blendshapes that the profile (full, mouth, none or custom) means, in their own order."""
    profile = settings.step5_blendshapes_profile
    chosen = {
        "full": BLENDSHAPE_NAMES,
        "mouth": tuple(name for name in BLENDSHAPE_NAMES if name.startswith(_MOUTH_PREFIXES)),
        "none": (),
        CUSTOM: settings.step5_blendshapes_custom,
    }[profile]
    return tuple(name for name in BLENDSHAPE_NAMES if name in chosen)
