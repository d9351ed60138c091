"""The figures of the scenes, cut out of the demo archive of this repository and, where it is there, of vtest.avi."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from scripts.bench.tracking_truth.composites import HEIGHT, WIDTH
from scripts.bench.tracking_truth.figures import Figure, Picture, another, face, person
from workflow_scripts.step5.engines import Engine

Pictures = NDArray[np.uint8]
_FACES = ((217, 0), (469, 0), (606, 0), (290, 0), (372, 0))
"""Frames of the interview (25 fps) from which a face is taken for eight frames, and which face from the left."""
_OTHERS = ((0, 0.5), (1, 0.3), (2, 0.65))
"""Of these, mirrored and in another tint, three more people are made."""
_STREETS = (5, 70, 95)
_PERSONS = (
    (0, (240, 205, 300, 315)), (4, (585, 232, 662, 330)), (24, (650, 255, 702, 374)), (44, (574, 220, 622, 322)),
    (48, (688, 254, 730, 380)),
)  # fmt: skip
"""Frames of vtest.avi, and where in them somebody walks alone."""
_WINDOW = (64, 100)
"""Left and top of the part of vtest.avi that is the background, WIDTH x HEIGHT."""


def decoded(path: Path, width: int, height: int, rate: int = 25) -> Pictures:
    """Return all frames of a clip, (n, height, width, 3), blue, green, red."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(path), "-an", "-vf",
        f"fps={rate},scale={width}:{height}", "-f", "rawvideo", "-pix_fmt", "bgr24", "-",
    ]  # fmt: skip
    raw = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def heads(engine: Engine, pictures: Pictures, which: int) -> Figure:
    """Cut a head out of frames; its box in each is the one that the engine gives in the untouched frame."""
    boxes = [engine.detect(picture).boxes[which] for picture in pictures]
    return face(pictures, np.array(boxes, np.float64))


def faces(engine: Engine, interview: Pictures) -> list[Figure]:
    """Return eight people's faces."""
    people = [heads(engine, interview[first : first + 8], which) for first, which in _FACES]
    return people + [another(people[index], tint) for index, tint in _OTHERS]


def streets(interview: Pictures) -> list[Picture]:
    """Return backgrounds without people, blurred as behind somebody in focus."""
    return [np.asarray(cv2.GaussianBlur(interview[index], (0, 0), 4), np.uint8) for index in _STREETS]


def pedestrians(vtest: Pictures) -> tuple[list[Figure], list[Picture]]:
    """Return seven people who walk, two of them others in another tint, and the empty place they are on."""
    empty: Picture = np.asarray(np.median(vtest[::16], axis=0), np.uint8)
    left, top = _WINDOW
    ground = empty[top : top + HEIGHT, left : left + WIDTH]
    people = [person(vtest[frame], empty, box) for frame, box in _PERSONS]
    return [*people, another(people[2], 0.4), another(people[4], 0.6)], [ground]
