"""Inputs like those that the reference models were made for: keywords, natural images, machine noise, gestures.

Images are patches of the sample pictures of scikit-image and scikit-learn, which have to be installed for them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
PICTURES = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png",
            "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png",
            "retina.jpg", "rocket.jpg")  # fmt: skip
SAMPLE_RATE, FRAME, MELS = 16_000, 1024, 128


def keywords(shared: Path) -> tuple[Floats, NDArray[np.int64]]:
    """Labelled keyword-spotting features."""
    with np.load(shared / "data" / "kws01_dev.npz") as held:
        real = np.float32(held["scale"]) * (held["x_int8"].astype(np.float32) - np.float32(held["zero_point"]))
        return real.astype(np.float32), held["y"].astype(np.int64)


def patches(count: int, size: int, high: float, seed: int) -> Floats:
    """Square crops of pictures at random places and scales, [count, size, size, 3] in 0 … high."""
    rng = np.random.default_rng(seed)
    try:
        held, resize = _pictures(), import_module("skimage.transform").resize
    except ImportError as missing:
        sys.exit(f"{missing.name} is missing, whose sample pictures ic and vww need: pip install scikit-image "
                 "scikit-learn, or give --models kws,ad,magic_wand")  # fmt: skip
    made: list[Floats] = []
    for _ in range(count):
        picture = held[rng.integers(len(held))]
        side = int(rng.integers(size, min(picture.shape[:2]) + 1))
        y, x = (int(rng.integers(n - side + 1)) for n in picture.shape[:2])
        made.append(resize(picture[y : y + side, x : x + side], (size, size), anti_aliasing=True) * high)
    return np.stack(made).astype(np.float32)


def _pictures() -> list[Floats]:
    reader: Any = import_module("skimage.io").imread
    folder = resources.files("skimage.data")
    found = [reader(str(folder / name)) for name in PICTURES]
    found += [import_module("sklearn.datasets").load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    colour = [np.repeat(p[..., None], 3, axis=2) if p.ndim == 2 else p[..., :3] for p in found]
    return [(p / 255).astype(np.float32) for p in colour]


def machine_noise(count: int, seed: int) -> Floats:
    """Five frames of a log mel spectrogram of harmonics in noise, [count, 640] in dB."""
    rng = np.random.default_rng(seed)
    bank, made = _mel_bank(), list[Floats]()
    t = np.arange(FRAME * 4) / SAMPLE_RATE
    for _ in range(count):
        base, tilt = rng.uniform(40, 400), rng.uniform(0.5, 1.5)
        sound = sum(
            rng.uniform() / k**tilt * np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6)) for k in range(1, 30)
        )
        sound = (sound + rng.normal(0, 10 ** rng.uniform(-2, 0), t.shape)) * 10 ** rng.uniform(-3.5, -1)
        frames = np.stack([sound[k * 512 : k * 512 + FRAME] for k in range(5)]) * np.hanning(FRAME)
        power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
        made.append((10 * np.log10(power @ bank.T + 1e-12)).reshape(-1))
    return np.stack(made).astype(np.float32)


def _mel_bank() -> NDArray[np.float64]:
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    hertz = np.linspace(0, SAMPLE_RATE / 2, FRAME // 2 + 1)
    low, middle, high = (edges[k : k + MELS, None] for k in range(3))
    return (
        np.maximum(0, np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))) * 2 / (high - low)
    )


def gestures(count: int, seed: int) -> Floats:
    """Three axes of acceleration in milli-g, [count, 128, 3, 1]: circles, shakes, drifts and rest under gravity."""
    rng = np.random.default_rng(seed)
    t, made = np.linspace(0, 1, 128)[:, None], list[Floats]()
    shapes: tuple[Callable[[float, float], NDArray[np.float64]], ...] = (
        lambda f, p: np.sin(2 * np.pi * f * t + p + np.arange(3) * 1.6),
        lambda f, p: np.sign(np.sin(2 * np.pi * f * t + p + np.arange(3))) * np.exp(-2 * t),
        lambda f, p: np.cumsum(rng.normal(0, 0.15, (128, 3)), axis=0),
        lambda f, p: rng.normal(0, 0.05, (128, 3)),
    )
    for _ in range(count):
        gravity = rng.normal(0, 1, 3)
        move = shapes[rng.integers(4)](rng.uniform(1, 4), rng.uniform(0, 6)) * rng.uniform(300, 1500)
        made.append(move + 1000 * gravity / np.linalg.norm(gravity) + rng.normal(0, 20, (128, 3)))
    return np.stack(made).astype(np.float32)[..., None]


def inputs(model: str, count: int, shared: Path, seed: int = 0) -> tuple[Floats, NDArray[np.int64] | None]:
    """Inputs for a reference model, and labels where there are any; for kws as many as there are."""
    if model == "kws":
        x, y = keywords(shared)
        order = np.random.default_rng(seed).permutation(len(x)) if seed > 0 else np.arange(len(x))[:: seed or 1]
        return x[order], y[order]
    makers: dict[str, Callable[[], Floats]] = {
        "ad": lambda: machine_noise(count, seed),
        "ic": lambda: patches(count, 32, 255.0, seed),
        "magic_wand": lambda: gestures(count, seed),
        "vww": lambda: patches(count, 96, 1.0, seed),
    }
    return makers[model](), None
