"""QUANTIZE: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import BYTES, RANKS, panel
from tests.support import activation, check_operator, emitted, quant, reference, same, single
from tinycomp.errors import Unsupported
from tinycomp.ir import Array, DType, Graph, Tensor
from tinycomp.ops.quantize import Quantize

PAIRS: list[tuple[DType, DType]] = [
    ("int8", "int8"), ("int8", "int16"), ("int8", "uint8"), ("uint8", "int8"), ("int16", "int8"), ("int16", "int16"),
]  # fmt: skip
SCALES = [(0.05, 0.05), (0.05, 0.051), (0.25, 0.125), (0.125, 0.25), (0.001, 0.9), (0.9, 0.001)]
ZEROS = {"int8": (-128, 3, 127), "uint8": (0, 128, 255), "int16": (-32768, 0, 32767)}


def layer(x: DType, out: DType, scales: tuple[float, float], zero: tuple[int, int], shape: tuple[int, ...]) -> Graph:
    """One conversion."""
    given = activation("x", shape, x, quant(scales[0], zero[0]) if x != "float32" else None)
    return single(Quantize(), [given], Tensor("out", shape, out, quant(scales[1], zero[1])))


def every(dtype: str) -> Array:
    """All bytes, or 16-bit values that include both ends and the neighbourhood of 0."""
    if dtype != "int16":
        return BYTES.view(dtype)
    near = np.arange(-64, 64)
    return np.concatenate([np.linspace(-32768, 32767, 128).astype(int), near]).astype(np.int16).reshape(BYTES.shape)


@pytest.mark.parametrize(("x", "out"), PAIRS)
def test_every_byte_between_many_scales_and_zero_points(x, out):
    zeros = list(zip(ZEROS[x], reversed(ZEROS[out]), strict=True))
    graphs = [layer(x, out, scales, zero, BYTES.shape) for scales in SCALES for zero in zeros]
    check_operator(panel(graphs), [[every(x)] * len(graphs)])


@pytest.mark.parametrize("out", ["int8", "int16"])
def test_halves_round_away_from_zero_and_ends_saturate(out):
    scales, wide = [0.5, 0.1, 0.0078431], float(np.iinfo(out).max)
    x = np.concatenate([np.arange(-300, 300) / 2, [0.49999997, -0.49999997, wide + 0.4, -wide - 1.6, 1e6, -1e6]])
    graphs = [layer("float32", out, (1.0, s), (0, z), (1, x.size)) for s in scales for z in ZEROS[out]]
    cases = [[(x * g.tensors["out"].scale).astype(np.float32).reshape(1, -1) for g in graphs]]
    check_operator(panel(graphs), cases)


def test_what_no_int32_holds_saturates_and_nan_is_the_least():
    graph = layer("float32", "int8", (1.0, 0.1), (0, 5), (1, 6))
    x = np.array([[np.inf, -np.inf, np.nan, 3e38, -3e38, 0.0]], np.float32)
    wanted = [np.array([[127, -128, -128, 127, -128, 5]], np.int8)]
    same(reference(graph, [x]), wanted, "reference")
    same(emitted(graph, [[x]])[0], wanted, "C")


def test_float_to_uint8_rounds_and_saturates_in_c_as_in_the_reference():
    graph = layer("float32", "uint8", (1.0, 0.5), (0, 128), (1, 8))
    x = np.array([[-100.0, -0.25, 0.0, 0.25, 0.74, 63.5, 64.0, 1e9]], np.float32)
    wanted = [np.array([[0, 127, 128, 129, 129, 255, 255, 255]], np.uint8)]
    same(reference(graph, [x]), wanted, "reference")
    same(emitted(graph, [[x]])[0], wanted, "C")


def test_every_rank():
    pairs: list[tuple[DType, DType]] = [*PAIRS, ("float32", "int8")]
    check_operator(panel([layer(x, out, SCALES[1], (3, 5), shape) for x, out in pairs for shape in RANKS]))


def test_scales_too_far_apart_are_refused():
    with pytest.raises(Unsupported, match="takes less than 8192"):
        layer("int16", "int8", (1.0, 1e-4), (0, 0), (4,))
