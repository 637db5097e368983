"""Train the gestures' model: `python -m examples.gesture.train` writes gesture.tflite beside this file."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from examples import training
from examples.gesture import data


def network(batch: int | None) -> Any:
    """Three convolutions over time, a mean, a dense layer."""
    layers = tf.keras.layers
    window = layers.Input((data.WINDOW, 1, data.AXES), batch, name="accelerations")
    x = training.convolution(window, 8, (5, 1), (2, 1))
    x = training.convolution(x, 16, (5, 1), (2, 1))
    x = training.convolution(x, 16, (3, 1), (2, 1))
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(window, layers.Dense(len(data.NAMES), activation="softmax")(x), name="gesture")


if __name__ == "__main__":
    training.classifier(data.EXAMPLE.model, network, data.dataset(800, 1), data.dataset(100, 2), epochs=20)
