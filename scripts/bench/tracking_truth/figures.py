"""Faces and persons cut out of frames, with the box of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_DIFFERENCE = 22
"""Grey levels by which a person differs from the empty place: half as many are its shadow."""


@dataclass(frozen=True)
class Figure:
    """A cut-out: pictures (k, h, w, 4) blue, green, red, opacity, shown in turn to and fro; its box in each, (k, 4).

    Boxes are left, top, right, bottom in pixels of the cut-out.
    """

    label: str
    pictures: NDArray[np.uint8]
    boxes: NDArray[np.float64]

    def at(self, frame: int) -> tuple[Picture, NDArray[np.float64]]:
        """Return picture and box of a frame."""
        last = len(self.pictures) - 1
        turn = frame % (2 * last) if last else 0
        index = last - abs(last - turn)
        return self.pictures[index], self.boxes[index]


def face(pictures: NDArray[np.uint8], boxes: NDArray[np.float64]) -> Figure:
    """Cut a head with its shoulders out of successive frames; `boxes` are those of the face, (k, 4)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    width, height = sides.max(axis=0)
    cuts, places = [], []
    for picture, box in zip(pictures, boxes, strict=True):
        middle = (box[:2] + box[2:]) / 2
        size = (int(2.1 * width), int(2.3 * height))
        corner = middle - (size[0] / 2, 0.95 * height)
        cut = cv2.warpAffine(
            picture, np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]]), size, borderMode=cv2.BORDER_REPLICATE
        )
        mask = np.zeros(size[::-1], np.uint8)
        centre = (size[0] // 2, int(0.98 * height))
        cv2.ellipse(mask, centre, (int(0.72 * width), int(0.80 * height)), 0, 0, 360, 255, -1)
        cv2.ellipse(
            mask, (size[0] // 2, int(2.3 * height)), (int(1.0 * width), int(0.85 * height)), 0, 180, 360, 255, -1
        )
        mask = cv2.GaussianBlur(mask, (0, 0), width / 30)
        cuts.append(np.dstack([cut, mask]))
        places.append([*(box[:2] - corner), *(box[2:] - corner)])
    return Figure("face", np.array(cuts), np.array(places))


def another(figure: Figure, tint: float) -> Figure:
    """Make somebody else of a figure: mirrored, its hue turned by a share of the circle, and darker by as much."""
    width = figure.pictures.shape[2]
    boxes = figure.boxes.copy()
    boxes[:, [0, 2]] = width - figure.boxes[:, [2, 0]]
    pictures = [np.dstack([_tinted(one[..., :3], tint), one[..., 3]])[:, ::-1] for one in figure.pictures]
    return Figure(figure.label, np.array(pictures), boxes)


def _tinted(picture: Picture, tint: float) -> Picture:
    hsv = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + 180 * tint) % 180
    hsv[..., 2] = np.clip(hsv[..., 2] * (1 - 0.8 * tint), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR), np.uint8)


def person(picture: Picture, empty: Picture, box: Sequence[float]) -> Figure:
    """Cut a person out of a frame by what differs from the same place without anybody; `box` is where to look."""
    left, top, right, bottom = (int(value) for value in box)
    cut, ground = picture[top:bottom, left:right], empty[top:bottom, left:right]
    differs = (np.abs(cut.astype(np.int16) - ground).max(axis=2) > _DIFFERENCE).astype(np.uint8)
    differs = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(differs)
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    x, y, width, height = (int(value) for value in statistics[largest, :4])
    mask = cv2.GaussianBlur(np.where(labels == largest, 255, 0).astype(np.uint8), (3, 3), 0)
    cut_out = np.dstack([cut, mask])[None]
    return Figure("person", cut_out, np.array([[x, y, x + width, y + height]], np.float64))
