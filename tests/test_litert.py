"""The second oracle: what a graph means under `reference="litert"` is what LiteRT's reference kernels compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from tests.models.test_reference_models import INT8, golden
from tests.op_graphs import RUNNING
from tests.ops import (
    test_conv2d,
    test_depthwise_conv2d,
    test_fully_connected,
    test_leaky_relu,
    test_logistic,
    test_mean,
    test_pool,
    test_relu,
    test_softmax,
    test_tanh,
)
from tests.ops.broadcast import SCALES, scaled
from tests.ops.elementwise import BYTES, panel
from tests.support import (
    SHARED,
    activation,
    constant,
    emitted,
    kernel_rows,
    litert,
    needs_cc,
    needs_shared,
    quant,
    random_inputs,
    reference,
    run_program,
    same,
    single,
)
from tinycomp import frontend, ops, qmath
from tinycomp.ir import Array, Graph, Tensor
from tinycomp.lower import lower
from tinycomp.ops.add import Add
from tinycomp.ops.average_pool2d import AveragePool2D
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.mul import Mul
from tinycomp.program import Recipe
from tinycomp.tflite import writer

ACTIVATIONS = ("relu", "relu6", "relu_n1_to_1")
DENSE = [param.values[:-1] for param in test_fully_connected.GRID]
BETWEEN = [*test_leaky_relu.ENDS, ((0.07, 5), (0.05, -10)), ((0.9, 20), (0.001, -20))]

# Many int8 graphs of one operator. They are run as one.
PANELS: dict[str, Callable[[], Iterable[Graph]]] = {
    "add": lambda: (scaled(Add(), *ends, (1, 8, 8, 16)) for ends in SCALES),
    "average_pool2d": lambda: (test_pool.pooled(AveragePool2D, *param.values[:-1]) for param in test_pool.GRID),
    "conv2d": lambda: (test_conv2d.convolution(*param.values) for param in test_conv2d.GRID),
    "depthwise_conv2d": lambda: (
        test_depthwise_conv2d.depthwise(*param.values[:-1]) for param in test_depthwise_conv2d.GRID
    ),
    "fully_connected": lambda: (test_fully_connected.dense(*v, scales=n) for v in DENSE for n in (1, None)),
    "leaky_relu": lambda: (
        test_leaky_relu.layer(alpha, *ends) for alpha in test_leaky_relu.SLOPES for ends in test_leaky_relu.ENDS
    ),
    "logistic": lambda: (test_logistic.layer(scale, zero) for scale in test_logistic.SCALES for zero in (-128, 9)),
    "mean": lambda: (test_mean.averaged(*param.values[:-1]) for param in test_mean.GRID),
    "mul": lambda: (scaled(Mul(), *ends, (1, 8, 8, 16)) for ends in SCALES),
    "relu": lambda: (test_relu.layer(act, *ends) for act in ACTIVATIONS for ends in test_relu.ENDS),
    "softmax": lambda: (test_softmax.layer((4, 10), scale) for scale in test_softmax.SCALES),
    "tanh": lambda: (test_tanh.layer(scale, zero) for scale in test_tanh.SCALES for zero in (-128, 9)),
}
