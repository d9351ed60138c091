"""The geometry of MediaPipe's face landmarker, as its published graphs define it.

Source: mediapipe/tasks/cc/vision/face_landmarker (face_landmarks_detector_graph.cc, face_blendshapes_graph.cc).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Floats, Frame

CROP_SIDE = 256
"""Side, in pixels, of the upright square picture of a face that the landmark network takes."""
ROI_SCALE = 1.38
ROI_SHIFT = 0.045
"""The square around a YuNet box: its side is the box's longer side times ROI_SCALE, its centre lies ROI_SHIFT of that side
of the box towards the chin. MediaPipe cuts out 1.5 times the extent of the landmarks themselves; these two were measured
to give the same square (mean over 3 clips and 5 faces, 1.34 to 1.43 and 0.041 to 0.058)."""

# The 146 of the 478 points that the blendshape network takes, as runs and single numbers.
_BLENDSHAPE_POINTS = (
    "0 1 4-8 10 13 14 17 21 33 37 39 40 46 52-55 58 61 63 65-67 70 78 80-82 84 87 88 91 93 95 103 105 107 109 127 132 133 "
    "136 144-146 148-150 152-155 157-163 168 172 173 176 178 181 185 191 195 197 234 246 249 251 263 267 269 270 276 "
    "282-285 288 291 293 295-297 300 308 310-312 314 317 318 321 323 324 332 334 336 338 356 361 362 365 373-375 377-382 "
    "384-390 397 398 400 402 405 409 415 454 466 468-477"
)


def _numbers(text: str) -> list[int]:
    """Read `4-8 10` as 4, 5, 6, 7, 8, 10."""
    runs = (word.partition("-") for word in text.split())
    return [number for low, _, high in runs for number in range(int(low), int(high or low) + 1)]


BLENDSHAPE_POINTS = np.array(_numbers(_BLENDSHAPE_POINTS))


@dataclass(frozen=True)
class FaceSquare:
    """An upright square cut-out of a frame around a face: `matrix` (2, 3) maps its pixels to the frame's."""

    matrix: NDArray[np.float64]

    @classmethod
    def around(cls, box: Floats, eyes: Floats) -> FaceSquare:
        """Make the square for a YuNet box (left, top, right, bottom), turned so that the eyes are level.

        `eyes` is (2, 2): the eye on the picture's left when the face is upright, then the other.
        """
        across, down = (eyes[1] - eyes[0]).astype(np.float64)
        angle = float(np.arctan2(down, across))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        side = float((box[2:] - box[:2]).max())
        centre = (box[:2] + box[2:]).astype(np.float64) / 2 + turn @ np.array([0, ROI_SHIFT * side])
        linear = turn * (side * ROI_SCALE / CROP_SIDE)
        middle = np.full(2, CROP_SIDE / 2)
        return cls(np.column_stack([linear, centre - linear @ middle]))

    def cut(self, frame: Frame) -> Floats:
        """Return the cut-out as the network takes it: (1, 256, 256, 3), red, green, blue, 0 to 1.

        Past the frame's edge its outermost pixels are repeated.
        """
        size = (CROP_SIDE, CROP_SIDE)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(frame, self.matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(crop[None, :, :, ::-1], np.float32) / np.float32(255)

    def to_frame(self, points: Floats) -> Floats:
        """Map points (k, 3) of the cut-out to the frame; depth is scaled with them."""
        scale = np.hypot(*self.matrix[:, 0])
        places = points[:, :2] @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.column_stack([places, points[:, 2] * scale]).astype(np.float32)
