"""Handwriting-like digits drawn by code: pen strokes, bent and jittered, on a 16 × 16 grid. No data set is needed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Point = tuple[float, float]
Strokes = tuple[tuple[Point, ...], ...]  # a drawing: each stroke is a line through its points
SIDE = 16
CLASSES = tuple("0123456789")

# (x, y) in the unit square, y down. One digit is a few pen strokes, a stroke is a line through its points.
STROKES: dict[str, Strokes] = {
    "0": (((0.5, 0.0), (0.15, 0.2), (0.1, 0.6), (0.4, 1.0), (0.75, 0.9), (0.9, 0.5), (0.8, 0.1), (0.5, 0.0)),),
    "1": (((0.25, 0.25), (0.55, 0.0), (0.55, 1.0)),),
    "2": (((0.15, 0.25), (0.4, 0.0), (0.75, 0.1), (0.8, 0.4), (0.1, 1.0), (0.9, 1.0)),),
    "3": (((0.15, 0.1), (0.6, 0.0), (0.8, 0.25), (0.45, 0.45), (0.85, 0.7), (0.6, 1.0), (0.1, 0.9)),),
    "4": (((0.6, 0.0), (0.1, 0.6), (0.9, 0.6)), ((0.65, 0.35), (0.65, 1.0))),
    "5": (((0.8, 0.0), (0.25, 0.0), (0.2, 0.45), (0.6, 0.4), (0.85, 0.7), (0.6, 1.0), (0.15, 0.9)),),
    "6": (((0.7, 0.0), (0.3, 0.3), (0.15, 0.7), (0.4, 1.0), (0.8, 0.85), (0.7, 0.55), (0.2, 0.65)),),
    "7": (((0.1, 0.0), (0.9, 0.0), (0.4, 1.0)),),
    "8": (((0.5, 0.45), (0.2, 0.2), (0.5, 0.0), (0.8, 0.2), (0.2, 0.75), (0.5, 1.0), (0.8, 0.75), (0.5, 0.45)),),
    "9": (((0.8, 0.3), (0.5, 0.5), (0.2, 0.25), (0.5, 0.0), (0.8, 0.25), (0.75, 0.7), (0.5, 1.0)),),
}


def draw(strokes: Strokes, rng: np.random.Generator, side: int = SIDE) -> Floats:
    """One picture, float64 [side, side, 1], 0 is paper and 1 is ink.

    Each point of each stroke moves a little, then the whole drawing is turned, slanted, scaled and shifted; the pen's
    width, its blackness and the paper's noise vary too.
    """
    unit = side / SIDE
    angle, slant = rng.normal(0, 0.16), rng.normal(0, 0.18)
    size, offset = unit * rng.uniform(8.0, 12.0, 2), unit * rng.uniform(-1.3, 1.3, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.array([[1, -slant], [0, 1]])
    y, x = np.mgrid[0:side, 0:side]
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float64)
    nearest = np.full(side * side, np.inf)
    for stroke in strokes:
        points = np.array(stroke) - 0.5 + rng.normal(0, 0.045, (len(stroke), 2))
        points = (points * size) @ turn.T + (side - 1) / 2 + offset
        for a, b in pairwise(points):
            nearest = np.minimum(nearest, _distance(pixels, a, b))
    ink = np.clip(unit * rng.uniform(0.7, 1.3) - nearest + 0.5, 0, 1) * rng.uniform(0.6, 1.0)
    return np.clip(ink + rng.normal(0, 0.06, ink.shape), 0, 1).reshape(side, side, 1)


def _distance(pixels: Floats, a: Floats, b: Floats) -> Floats:
    """From each pixel to the line between two points."""
    along = b - a
    t = np.clip(((pixels - a) @ along) / max(float(along @ along), 1e-9), 0, 1)
    return np.linalg.norm(pixels - (a + t[:, None] * along), axis=1)


def dataset(per_class: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pictures float32 [10·per_class, SIDE, SIDE, 1] and their classes, shuffled. The seed settles everything."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(CLASSES)), per_class)
    x = np.stack([draw(STROKES[CLASSES[k]], rng) for k in y]).astype(np.float32)
    order = rng.permutation(len(y))
    return x[order], y[order]
