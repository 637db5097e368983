"""Signs drawn on paper in front of a camera: 48 × 48 grey pixels, drawn by code with the strokes of the digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.digits import strokes
from examples.example import Example, Int8, Labels, Recording, as_int8, best, labelled

SIDE = 48
NAMES = ("nothing", "triangle", "square", "circle", "cross")
_TURN = np.linspace(0, 2 * np.pi, 13)
_CIRCLE = tuple((0.5 + 0.48 * float(np.cos(a)), 0.5 + 0.48 * float(np.sin(a))) for a in _TURN)
_CORNERS = ((0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95), (0.05, 0.05))
SIGNS: dict[str, strokes.Strokes] = {
    "nothing": (),
    "triangle": (((0.5, 0.05), (0.95, 0.9), (0.05, 0.9), (0.5, 0.05)),),
    "square": (_CORNERS,),
    "circle": (_CIRCLE,),
    "cross": (((0.05, 0.05), (0.95, 0.95)), ((0.95, 0.05), (0.05, 0.95))),
}


def frame(name: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture, uint8 [SIDE, SIDE, 1]: dark ink on paper, in uneven light."""
    ink = strokes.draw(SIGNS[name], rng, SIDE)
    across = np.linspace(-1, 1, SIDE)
    light = rng.uniform(0.7, 1) * (1 + rng.uniform(-0.15, 0.15) * across[:, None] + rng.uniform(-0.15, 0.15) * across)
    return np.clip(np.round(215 * light[..., None] * (1 - 0.85 * ink)), 0, 255).astype(np.uint8)


def dataset(per_class: int, seed: int) -> tuple[NDArray[np.uint8], Labels]:
    """Pictures uint8 [n, SIDE, SIDE, 1] and their classes, see `labelled`."""
    return labelled(NAMES, frame, per_class, seed)


def record() -> Recording:
    """Eight frames, line after line."""
    x, y = dataset(2, 7)
    return Recording(x, tuple(NAMES[k] for k in y))


def inputs(data: NDArray[np.uint8] | NDArray[np.int16]) -> Int8:
    """The frames, int8 [results, 1, SIDE, SIDE, 1]."""
    return as_int8(data.astype(np.uint8))[:, None]


EXAMPLE = Example("camera", "emu_riscv32", "push", ("sensor", "show"), record, inputs, best(NAMES))
