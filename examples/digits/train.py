"""Train the example model and convert it to full int8: writes digits.tflite and samples.npz beside this file.

    python3 -m venv build/train
    build/train/bin/pip install tensorflow tflite-micro
    build/train/bin/python -m examples.digits.train

Under a minute on two cores. Nothing else in the project needs TensorFlow: both files are in the repository.
samples.npz holds `x` int8 [20, 16, 16, 1], `y` the digits drawn, `expected` int8 [20, 10]: what TensorFlow Lite
Micro's interpreter answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tflite_micro.python.tflite_micro import runtime

from examples import training
from examples.digits import strokes

HERE = Path(__file__).parent
SEED = 1
SAMPLES_PER_CLASS = 2


def separable(x: Any, filters: int, stride: int = 1, activation: bool = True) -> Any:
    """A 3 × 3 depthwise convolution and a pointwise one, each with batch normalisation (folded by the converter)."""
    layers = tf.keras.layers
    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(filters, 1, use_bias=False)(x))
    return layers.ReLU()(x) if activation else x


def network(batch: int | None = None) -> Any:
    """Convolution, three separable blocks (one residual), global mean, dense, softmax: 1,648 weights."""
    layers = tf.keras.layers
    image = layers.Input((strokes.SIDE, strokes.SIDE, 1), batch, name="image")
    x = training.convolution(image, 8, 3, 2)
    x = separable(x, 16)
    x = layers.ReLU()(layers.Add()([x, separable(x, 16, activation=False)]))
    x = separable(x, 32, stride=2)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(len(strokes.CLASSES), activation="softmax")(x)
    return tf.keras.Model(image, x, name="digits")


def main() -> None:
    """Train, convert, measure on pictures that training has not seen, write the two files."""
    training.seed(SEED)
    x, y = strokes.dataset(per_class=800, seed=SEED)
    unseen_x, unseen_y = strokes.dataset(per_class=100, seed=SEED + 1)
    model = network()
    loss = "sparse_categorical_crossentropy"
    training.fit(model, x, y, epochs=25, rate=4e-3, loss=loss, metrics=["accuracy"])
    data = training.to_int8(network, model, x[:200])
    (HERE / "digits.tflite").write_bytes(data)

    quant = runtime.Interpreter.from_bytes(data, arena_size=1 << 20).get_input_details(0)["quantization_parameters"]
    scale, zero_point = float(quant["scales"][0]), int(quant["zero_points"][0])
    q = np.clip(np.round(unseen_x / scale) + zero_point, -128, 127).astype(np.int8)
    found = training.answers(data, q)
    float_accuracy, int8_accuracy = (
        model.evaluate(unseen_x, unseen_y, verbose=0)[1],
        np.mean(found.argmax(1) == unseen_y),
    )
    print(f"accuracy on {len(q)} unseen pictures: float {float_accuracy:.3f}, int8 {int8_accuracy:.3f}")
    picked = np.concatenate([np.flatnonzero(unseen_y == k)[:SAMPLES_PER_CLASS] for k in range(len(strokes.CLASSES))])
    np.savez_compressed(HERE / "samples.npz", x=q[picked], y=unseen_y[picked].astype(np.int8), expected=found[picked])
    print(f"digits.tflite {len(data):,} bytes; samples.npz {(HERE / 'samples.npz').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
