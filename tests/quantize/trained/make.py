"""Writes float.tflite and int8.tflite: one network with fake quantization, by TensorFlow's converter.

    python tests/quantize/trained/make.py        (needs tensorflow)

float.tflite keeps it as pairs of QUANTIZE and DEQUANTIZE, int8.tflite is what the converter makes of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

RNG = np.random.default_rng(0)


def weights(*shape: int, spread: float = 0.3) -> Any:
    """Float32 constants."""
    return RNG.normal(0, spread, shape).astype(np.float32)


def rounded(x: Any, low: float, high: float) -> Any:
    """Fake quantization to 256 steps."""
    return tf.quantization.fake_quant_with_min_max_vars(x, low, high)


def rounded_by_channel(w: Any) -> Any:
    """Fake quantization of weights, symmetric, for each index of the last axis."""
    top = np.abs(w).max(axis=tuple(range(w.ndim - 1)))
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(w, -top, top, narrow_range=True)


CONV, CONV_BIAS = weights(3, 3, 2, 4), weights(4, spread=0.2)
DEPTHWISE, DEPTHWISE_BIAS = weights(3, 3, 4, 1), weights(4, spread=0.2)
DENSE, DENSE_BIAS = weights(4, 5), weights(5, spread=0.2)


class Trained(tf.Module):
    """Convolution, depthwise convolution beside a skip, mean, dense, softmax; per-channel and per-tensor weights."""

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 2), tf.float32)])
    def run(self, x: Any) -> Any:
        """Probabilities [1, 5] of an image [1, 8, 8, 2]."""
        x = rounded(x, -3.0, 3.0)
        a = tf.nn.relu(tf.nn.conv2d(x, rounded_by_channel(CONV), 1, "SAME") + CONV_BIAS)
        a = rounded(a, 0.0, 5.0)
        b = tf.nn.depthwise_conv2d(a, rounded(DEPTHWISE, -1.0, 1.0), [1, 1, 1, 1], "SAME") + DEPTHWISE_BIAS
        b = rounded(tf.nn.relu6(b), 0.0, 6.0)
        c = rounded(tf.reduce_mean(rounded(a + b, 0.0, 9.0), [1, 2]), 0.0, 7.0)
        return tf.nn.softmax(rounded(tf.linalg.matmul(c, rounded(DENSE, -1.0, 1.0)) + DENSE_BIAS, -6.0, 8.0))


def main() -> None:
    """Convert twice."""
    model = Trained()
    for name in ("float", "int8"):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([model.run.get_concrete_function()], model)
        if name == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        Path(__file__).with_name(f"{name}.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
