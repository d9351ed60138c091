"""Boxes and words on a picture. Pictures are (height, width, 3), blue, green, red, 0 to 255, and are drawn on in place."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from workflow_scripts.step5.detections import Frame

Colour = tuple[int, int, int]
"""Blue, green, red."""
SPEAKS: Colour = (60, 230, 255)
"""Of whoever speaks: no box has it by itself."""
_DARK, _LIGHT = (24, 24, 24), (245, 245, 245)
_GOLDEN = 0.618034
"""Hues that follow each other at this distance stay apart, however many there are."""
_TEXTS = 256
"""Words that are kept drawn: labels come again frame after frame."""


@dataclass(frozen=True)
class Shown:
    """One thing to be drawn: its box left, top, right, bottom in pixels of the picture, what is said of it, whether it speaks.

    `number` chooses the colour.
    """

    box: tuple[float, float, float, float]
    label: str
    number: int
    speaks: bool = False


def line_width(height: int) -> int:
    """Return how wide a box's line is in a picture of this height, in pixels."""
    return max(2, round(height / 270))


def colour_of(number: int) -> Colour:
    """Return the colour of a box by a number."""
    red, green, blue = colorsys.hls_to_rgb(0.75 + number * _GOLDEN, 0.55, 0.85)
    return round(255 * blue), round(255 * green), round(255 * red)


def draw(picture: Frame, things: Sequence[Shown], corner: str, below: str) -> None:
    """Draw things with their labels, words in the upper left corner, and words in the lower left one (none where empty)."""
    height, width = picture.shape[:2]
    line, size = line_width(height), max(10, round(height / 30))
    for thing in things:
        left, top, right, bottom = _inside(thing.box, width, height)
        colour = SPEAKS if thing.speaks else colour_of(thing.number)
        cv2.rectangle(picture, (left, top), (right, bottom), colour, line * (2 if thing.speaks else 1))
    for thing in things:  # over all the boxes
        left, top, _, _ = _inside(thing.box, width, height)
        colour = SPEAKS if thing.speaks else colour_of(thing.number)
        write(picture, thing.label, (left, top - round(1.5 * size)), size, _DARK, colour)
    write(picture, corner, (0, 0), size, _LIGHT, _DARK)
    if below:
        write(picture, below, (0, height - round(1.5 * size)), size, _DARK, SPEAKS)


def _inside(box: tuple[float, float, float, float], width: int, height: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = (
        min(max(round(value), 0), limit - 1) for value, limit in zip(box, (width, height) * 2, strict=True)
    )
    return left, top, right, bottom


def write(picture: Frame, text: str, place: tuple[int, int], size: int, colour: Colour, ground: Colour) -> None:
    """Write words on a ground, their upper left corner at `place` (x, y) or as near to it as the picture has room."""
    shares = _drawn(text, size)
    height, width = min(shares.shape[0], picture.shape[0]), min(shares.shape[1], picture.shape[1])
    x = min(max(place[0], 0), picture.shape[1] - width)
    y = min(max(place[1], 0), picture.shape[0] - height)
    part = shares[:height, :width, None]
    picture[y : y + height, x : x + width] = (part * np.array(colour) + (1 - part) * np.array(ground)).round()


@lru_cache(_TEXTS)
def _drawn(text: str, size: int) -> NDArray[np.float32]:
    """Return how much of each pixel a text covers, (height, width), 0 to 1, with a margin around."""
    mask, (across, down) = _font(size).getmask2(text, mode="L", anchor="ls")
    columns, rows = mask.size
    margin, baseline = size // 3, round(1.1 * size)
    drawn = np.zeros((round(1.5 * size), columns + 2 * margin + max(0, across)), np.float32)
    ink = np.array(mask, np.float32).reshape(rows, columns) / np.float32(255)
    top, left = max(0, baseline + down), max(0, margin + across)
    ink = ink[: drawn.shape[0] - top]
    drawn[top : top + len(ink), left : left + columns] = ink
    return drawn


def can_write(text: str) -> bool:
    """Tell whether the font has every sign of a text."""
    font = _font(20)
    missing = bytes(font.getmask("\uffff"))
    return all(sign.isspace() or bytes(font.getmask(sign)) != missing for sign in text)


@lru_cache(8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, as matplotlib brings it: the same on every machine."""
    spec = find_spec("matplotlib")  # looked up, not imported
    assert spec is not None and spec.origin is not None
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", size)
