"""What the training scripts share. They need TensorFlow and tflite-micro: `pip install '.[train]' tflite-micro`.

Nothing else in the project does: the models are in the repository.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tflite_micro.python.tflite_micro import runtime

from examples.example import as_int8

Network = Callable[[int | None], Any]  # a Keras model of that batch size


def seed(value: int) -> None:
    """The same model again, on the same machine."""
    tf.keras.utils.set_random_seed(value)
    tf.config.experimental.enable_op_determinism()


def fit(model: Any, x: np.ndarray, y: np.ndarray, *, epochs: int, rate: float, loss: str, metrics: list[str]) -> None:
    """Train with Adam and a rate that falls to nothing."""
    decay = tf.keras.optimizers.schedules.CosineDecay(rate, epochs * len(x) // 64)
    model.compile(optimizer=tf.keras.optimizers.Adam(decay), loss=loss, metrics=metrics)
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=2)


def convolution(x: Any, filters: int, kernel: int | tuple[int, int], strides: int | tuple[int, int] = 1) -> Any:
    """A convolution with batch normalisation (folded by the converter) and ReLU."""
    layers = tf.keras.layers
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def to_int8(network: Network, model: Any, calibration: np.ndarray) -> bytes:
    """The model as a full-integer .tflite: int8 inside and at its input and output, one input at a time."""
    single = network(1)
    single.set_weights(model.get_weights())
    converter = tf.lite.TFLiteConverter.from_keras_model(single)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def from_bytes(network: Network, model: Any, calibration: np.ndarray) -> bytes:
    """`to_int8` of a model of numbers from 0 to 1, whose input takes a byte b as b - 128: scale 1/255."""
    ends = np.stack([np.zeros_like(calibration[0]), np.ones_like(calibration[0])])
    return to_int8(network, model, np.concatenate([ends, calibration]))


def answers(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """What TensorFlow Lite Micro's interpreter answers to int8 inputs [n, ...]: int8 [n, outputs]."""
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
    out = []
    for x in inputs:
        interpreter.set_input(x[None], 0)
        interpreter.invoke()
        out.append(np.array(interpreter.get_output(0))[0])
    return np.stack(out)


def classifier(path: Path, network: Network, train: tuple[np.ndarray, np.ndarray],
               unseen: tuple[np.ndarray, np.ndarray], *, epochs: int, rate: float = 4e-3) -> None:  # fmt: skip
    """Train a classifier of bytes (uint8 inputs [n, ...], classes int64 [n]), say how good it is, write it."""
    seed(1)
    x, y = train[0].astype(np.float32) / 255, train[1]
    model = network(None)
    fit(model, x, y, epochs=epochs, rate=rate, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    data = from_bytes(network, model, x[:200])
    path.write_bytes(data)
    exact = model.evaluate(unseen[0].astype(np.float32) / 255, unseen[1], verbose=0)[1]
    found = answers(data, as_int8(unseen[0])).argmax(axis=1)
    print(f"accuracy on {len(found)} unseen inputs: float {exact:.3f}, int8 {np.mean(found == unseen[1]):.3f}")
    print(f"{path.name} {len(data):,} bytes")
