"""Words in noise, a second of sound at a time, and the recording that the example runs on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples import bands
from examples.example import Example, Floats, Int8, Labels, Recording, best, labelled, windows
from examples.keywords.speech import WORDS, spoken

ROWS = 32  # frames that the model looks at: 1.024 s
NAMES = ("nothing", *WORDS)
SAMPLES = ROWS * bands.FRAME
LOUDNESS = 4_096  # of the samples where the sound's is 1: an eighth of full scale
_HALF = ROWS // 2


def noise(samples: int, rng: np.random.Generator) -> Floats:
    """A room: a hiss, a hum and slow rumble, each of random loudness."""
    t = np.arange(samples) / bands.RATE
    hum = np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * t + rng.uniform(0, 6))
    rumble = np.convolve(rng.normal(0, 1, samples + 31), np.full(32, 32**-0.5), "valid")
    return 10 ** rng.uniform(-2.2, -1) * (rng.normal(0, 1, samples) + rng.uniform(0, 2) * hum + rumble)


def chatter(rng: np.random.Generator) -> Floats:
    """A word that is none of ours: points of the four, put together at random."""
    points = [WORDS[rng.choice(list(WORDS))][k] for k in rng.integers(0, 9, 5) % 6]
    times = np.cumsum(rng.uniform(30, 110, len(points)))
    return spoken(tuple((t, *point[1:]) for t, point in zip(times - times[0], points, strict=True)), rng)


def window(name: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A window's levels, uint8 [ROWS, 1, BANDS]: the word somewhere whole, or for "nothing" other sounds or none."""
    sound = noise(SAMPLES, rng)
    if name != "nothing" or rng.random() < 0.5:
        word = spoken(WORDS[name], rng) if name != "nothing" else chatter(rng)
        start = rng.integers(0, SAMPLES - len(word))
        sound[start : start + len(word)] += rng.uniform(0.5, 1.5) * word
    return bands.levels(bands.to_samples(sound, LOUDNESS))[:, None]


def dataset(per_class: int, seed: int) -> tuple[NDArray[np.uint8], Labels]:
    """Windows uint8 [n, ROWS, 1, BANDS] and their classes, see `labelled`."""
    return labelled(NAMES, window, per_class, seed)


def record() -> Recording:
    """Eight seconds: each word once, with noise between."""
    rng = np.random.default_rng(9)
    order = ("stop", "go", "right", "left", "go")
    sound = noise(16 * _HALF * bands.FRAME, rng)
    spans: list[tuple[str, int, int]] = []
    for k, name in enumerate(order):
        word = spoken(WORDS[name], rng)
        start = int((0.4 + 1.5 * k) * bands.RATE + rng.integers(0, 2_000))
        sound[start : start + len(word)] += word
        spans.append((name, start, start + len(word)))
    results = range(0, len(sound) - SAMPLES + 1, _HALF * bands.FRAME)
    return Recording(
        bands.to_samples(sound, LOUDNESS), tuple(_heard(spans, start, start + SAMPLES) for start in results)
    )


def _heard(spans: list[tuple[str, int, int]], start: int, end: int) -> str | None:
    """The word that is wholly within the window, "nothing" where none is, None where one is in part."""
    inside = [(name, a >= start and b <= end) for name, a, b in spans if a < end and b > start]
    return inside[0][0] if len(inside) == 1 and inside[0][1] else None if inside else "nothing"


def inputs(data: NDArray[np.uint8] | NDArray[np.int16]) -> Int8:
    """The windows, half of each shared with the next: int8 [results, 1, ROWS, 1, BANDS]."""
    return windows(bands.levels(data.astype(np.int16)), ROWS, _HALF)


EXAMPLE = Example("keywords", "emu_cortex_m4", "push", ("sensor", "bands", "show"), record, inputs, best(NAMES))
