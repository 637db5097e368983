"""Train the camera's model: `python -m examples.camera.train` writes camera.tflite beside this file."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from examples import training
from examples.camera import data


def network(batch: int | None) -> Any:
    """Convolutions that halve the picture three times, one of them separable, a mean, a dense layer."""
    layers = tf.keras.layers
    picture = layers.Input((data.SIDE, data.SIDE, 1), batch, name="picture")
    x = training.convolution(picture, 8, 3, 2)
    x = training.convolution(x, 12, 3, 2)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = training.convolution(x, 24, 1)
    x = training.convolution(x, 24, 3, 2)
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(picture, layers.Dense(len(data.NAMES), activation="softmax")(x), name="camera")


if __name__ == "__main__":
    training.classifier(data.EXAMPLE.model, network, data.dataset(1000, 1), data.dataset(100, 2), epochs=30)
