"""A machine that turns, and what its vibration looks like when something is wrong: half a second at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples import bands
from examples.example import Example, Int8, Recording, as_int8

FRAMES = 16  # whose levels are averaged: half a second
SAMPLES = FRAMES * bands.FRAME
FAULTS = ("bearing", "loose", "rubbing")
# A sound machine's levels come back nearly as they went in; the sum of the squared differences stays below this.
# The largest that train.py saw on sound machines which training had not seen, and as much again.
THRESHOLD = 106


def vibration(state: str, rng: np.random.Generator) -> NDArray[np.int16]:
    """A machine's vibration, [SAMPLES]: harmonics of its turning and of its gears, and a noise that grows with load."""
    t = np.arange(SAMPLES) / bands.RATE
    turn, load = rng.uniform(24, 26), rng.uniform(0.5, 1)
    found = (0.05 + 0.15 * load) * rng.normal(0, 1, SAMPLES)
    for order, loudness in ((8, 0.5), (16, 0.3), (27, 0.8), (54, 0.5), (81, 0.25)):  # 27 teeth
        found += loudness * load * np.sin(2 * np.pi * order * turn * t + rng.uniform(0, 6))
    if state == "bearing":  # knocks that make the housing ring
        since = np.mod(t, 1 / (3.6 * turn))
        found += rng.uniform(1.2, 2) * np.exp(-400 * since) * np.sin(2 * np.pi * 2_900 * since)
    elif state == "loose":  # many more harmonics of the turning
        found += sum(rng.uniform(0.2, 0.4) * np.sin(2 * np.pi * k * turn * t + rng.uniform(0, 6)) for k in range(5, 40))
    elif state == "rubbing":  # a hiss that comes and goes with every turn
        found += 0.9 * rng.normal(0, 1, SAMPLES) * (1 + np.sin(2 * np.pi * turn * t)) / 2
    return bands.to_samples(found, 3_000)


def averages(samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Average levels of each half second: uint8 [n, BANDS] of samples [n · SAMPLES]."""
    levels = bands.levels(samples).reshape(-1, FRAMES, bands.BANDS)
    return (levels.astype(np.int64).sum(axis=1) // FRAMES).astype(np.uint8)


def dataset(states: tuple[str, ...], each: int, seed: int) -> NDArray[np.uint8]:
    """Levels uint8 [n, BANDS] of machines in these states. The seed settles everything."""
    rng = np.random.default_rng(seed)
    return np.concatenate([averages(vibration(state, rng)) for state in states for _ in range(each)])


def difference(inputs: Int8, outputs: Int8) -> NDArray[np.int64]:
    """How badly levels [n, ..., BANDS] came back: the sum of the squared differences."""
    return ((inputs.reshape(outputs.shape).astype(np.int64) - outputs) ** 2).sum(axis=1)


def record() -> Recording:
    """Six seconds: a sound machine, then each fault with repairs between."""
    rng = np.random.default_rng(7)
    states = ("sound", "sound", "sound", "bearing", "bearing", "sound", "loose", "loose", "sound", "rubbing", "rubbing",
              "sound")  # fmt: skip
    data = np.concatenate([vibration(state, rng) for state in states])
    return Recording(data, tuple("sound" if state == "sound" else "ANOMALY" for state in states))


def inputs(data: NDArray[np.uint8] | NDArray[np.int16]) -> Int8:
    """The levels of each half second, int8 [results, 1, BANDS]."""
    return as_int8(averages(data.astype(np.int16)))[:, None]


def says(given: Int8, outputs: Int8) -> tuple[str, ...]:
    """The differences, and what the application makes of them."""
    return tuple(f"{d} {'ANOMALY' if d > THRESHOLD else 'sound'}" for d in difference(given, outputs))


EXAMPLE = Example("anomaly", "emu_cortex_m33", "auto", ("sensor", "bands", "show"), record, inputs, says)
