"""What makes an example: how its data are made, what its model is given, what its application should say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
Floats = NDArray[np.float64]
Int8 = NDArray[np.int8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Recording:
    """What the sensor of a run delivers, and what happens in it.

    data: as the sensor gives it, uint8 or little-endian int16. truth: for each result the word that is right, None
    where two would be (a word that is only half inside the window).
    """

    data: NDArray[np.uint8] | NDArray[np.int16]
    truth: tuple[str | None, ...]


@dataclass(frozen=True)
class Example:
    """A model with its application, examples/NAME/: NAME.tflite and main.c.

    board: the emulated one that runs it unless another is asked for. stream: as for `tinycomp build`. app: the files of
    examples/app/ that main.c includes. record: makes the recording. inputs: the model's inputs, int8 [results, ...],
    in the order of the results, from the recording's data. says: what the application prints for each result, the word
    last, from the inputs and the model's outputs int8 [results, n].
    """

    name: str
    board: str
    stream: str
    app: tuple[str, ...]
    record: Callable[[], Recording]
    inputs: Callable[[NDArray[np.uint8] | NDArray[np.int16]], Int8]
    says: Callable[[Int8, Int8], tuple[str, ...]]

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return HERE / self.name

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.folder / f"{self.name}.tflite"


def best(names: tuple[str, ...]) -> Callable[[Int8, Int8], tuple[str, ...]]:
    """`says` of a classifier: its scores and the class with the highest."""

    def says(_: Int8, outputs: Int8) -> tuple[str, ...]:
        return tuple(" ".join([*map(str, scores), names[np.argmax(scores)]]) for scores in outputs.tolist())

    return says


def labelled(names: tuple[str, ...], make: Callable[[str, np.random.Generator], NDArray[np.uint8]], per_class: int,
             seed: int) -> tuple[NDArray[np.uint8], Labels]:  # fmt: skip
    """Inputs uint8 [n, ...], made for so many of each class, and their classes, shuffled. The seed settles everything.

    make: an input of that name.
    """
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(names)), per_class))
    return np.stack([make(names[k], rng) for k in y]), y


def windows(values: NDArray[np.uint8], length: int, step: int) -> Int8:
    """Windows of values [n, channels], each `step` after the one before: int8 [results, 1, length, 1, channels]."""
    found = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::step]
    return as_int8(found.transpose(0, 2, 1)[:, None, :, None])


def as_int8(values: NDArray[np.uint8]) -> Int8:
    """Bytes as the models here take them: scale 1/255, zero point -128."""
    return (values.astype(np.int16) - 128).astype(np.int8)
