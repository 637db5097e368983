"""Train the words' model: `python -m examples.keywords.train` writes keywords.tflite beside this file."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from examples import bands, training
from examples.keywords import data


def network(batch: int | None) -> Any:
    """Convolutions over time, the bands being their channels; a mean, a dense layer."""
    layers = tf.keras.layers
    sound = layers.Input((data.ROWS, 1, bands.BANDS), batch, name="levels")
    x = training.convolution(sound, 32, (5, 1))
    x = training.convolution(x, 32, (5, 1), (2, 1))
    x = training.convolution(x, 32, (5, 1))
    x = training.convolution(x, 32, (3, 1), (2, 1))
    x = layers.Flatten()(layers.MaxPooling2D((data.ROWS // 4, 1))(x))
    return tf.keras.Model(sound, layers.Dense(len(data.NAMES), activation="softmax")(x), name="keywords")


if __name__ == "__main__":
    training.classifier(data.EXAMPLE.model, network, data.dataset(800, 1), data.dataset(100, 2), epochs=20, rate=2e-3)
