"""Movements of a hand-held accelerometer, made by formulas: three axes, 50 samples a second, ±4 g in a byte each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.example import Example, Floats, Int8, Labels, Recording, best, labelled, windows

RATE = 50
WINDOW = 64  # samples that the model looks at: 1.28 s
STEP = 32  # new samples between two looks
AXES = 3
NAMES = ("rest", "circle", "shake", "lift")


def movement(name: str, samples: int, rng: np.random.Generator) -> Floats:
    """Accelerations in g, [samples, AXES], gravity included. Strength, speed and the way it is held vary."""
    t = np.arange(samples) / RATE
    phase, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.3)
    turn = 2 * np.pi * t * rng.uniform(0.85, 1.2)
    zero = np.zeros(samples)
    if name == "circle":
        moved = [0.7 * np.cos(1.3 * turn + phase), zero, 0.7 * np.sin(1.3 * turn + phase)]
    elif name == "shake":
        moved = [1.6 * np.sin(4.5 * turn + phase), 0.2 * np.sin(4.5 * turn), zero]
    elif name == "lift":
        moved = [zero, zero, 0.9 * np.sign(np.sin(0.8 * turn + phase)) * np.abs(np.sin(0.8 * turn + phase)) ** 0.7]
    else:
        moved = [zero, zero, zero]
    held = np.array([0, 0, 1]) + rng.normal(0, 0.12, AXES)
    return strength * np.stack(moved, axis=1) + held / np.linalg.norm(held) + rng.normal(0, 0.05, (samples, AXES))


def to_bytes(g: Floats) -> NDArray[np.uint8]:
    """As the sensor gives it: 32 steps to a g, 128 for none."""
    return np.clip(np.round(128 + 32 * g), 0, 255).astype(np.uint8)


def dataset(per_class: int, seed: int) -> tuple[NDArray[np.uint8], Labels]:
    """Windows uint8 [n, WINDOW, 1, AXES] and their classes, see `labelled`."""
    return labelled(NAMES, lambda name, rng: to_bytes(movement(name, WINDOW, rng))[:, None], per_class, seed)


def record() -> Recording:
    """Six movements of 2.56 s."""
    rng = np.random.default_rng(7)
    order = ("rest", "circle", "rest", "shake", "lift", "rest")
    data = to_bytes(np.concatenate([movement(name, 2 * WINDOW, rng) for name in order]))
    starts = range(0, len(data) - WINDOW + 1, STEP)
    ends = [(order[a // (2 * WINDOW)], order[(a + WINDOW - 1) // (2 * WINDOW)]) for a in starts]
    return Recording(data, tuple(first if first == last else None for first, last in ends))


def inputs(data: NDArray[np.uint8] | NDArray[np.int16]) -> Int8:
    """The windows, int8 [results, 1, WINDOW, 1, AXES]."""
    return windows(data.astype(np.uint8), WINDOW, STEP)


EXAMPLE = Example("gesture", "emu_cortex_m0", "auto", ("sensor", "show"), record, inputs, best(NAMES))
