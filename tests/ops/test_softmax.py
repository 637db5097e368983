"""SOFTMAX: the reference against TensorFlow Lite Micro, every kernel row against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.elementwise import RANKS, check_reference, node_graph, panel, unchecked_out
from tests.support import activation, check_operator, quant, reference, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, DType, Graph, Tensor
from tinycomp.lower import lower
from tinycomp.ops.softmax import Softmax
from tinycomp.program import Recipe

OUT = {"int8": quant(1 / 256, -128), "int16": quant(1 / 65536, -32768)}
X = quant(0.1)
SCALES = [3e-8, 1e-4, 0.0039, 0.05, 0.1, 0.187, 1.0, 2.5, 30.0]


def layer(shape: tuple[int, ...], scale: float = 0.1, beta: float = 1.0, out: DType = "int8", zero: int = 4) -> Graph:
    """One softmax of int8 values."""
    x = activation("x", shape, "int8", quant(scale, zero))
    return single(Softmax(float(np.float32(beta))), [x], Tensor("out", shape, out, OUT[out]))


def logits(rows: int, depth: int, seed: int = 0) -> Array:
    """Rows that are spread, bunched, equal, all at either end, and single peaks."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (rows, depth))
    x[1::7] = rng.integers(-3, 4, x[1::7].shape)
    x[2::7] = x[2::7, :1]
    x[3::7], x[4::7] = -128, 127
    x[5::7] = -128
    x[5::7, depth // 2] = 127
    return x.astype(np.int8)


@pytest.mark.parametrize("out", ["int8", "int16"])
@pytest.mark.parametrize("depth", [1, 2, 3, 10, 257])
def test_rows_of_every_kind_under_many_scales(depth, out):
    graphs = [layer((28, depth), scale, beta, out) for scale in SCALES for beta in (1.0, 0.7)]
    check_reference(panel(graphs), [[logits(28, depth)] * len(graphs)])


@pytest.mark.parametrize("out", ["int8", "int16"])
def test_the_integer_kernel_in_c(out):
    graphs = [layer((28, 10), scale, out=out) for scale in SCALES]
    check_operator(panel(graphs), [[logits(28, 10, k)] * len(graphs) for k in range(2)])


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_the_last_axis_of_every_rank(dtype):
    floats = [single(Softmax(), [activation("x", shape, "float32")]) for shape in RANKS]
    check_operator(panel([layer(shape) for shape in RANKS] if dtype == "int8" else floats))


@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_beta_in_float(beta):
    check_operator(single(Softmax(beta), [activation("x", (4, 9), "float32")]))


@pytest.mark.parametrize("depth", [512, 600, 4095])
def test_long_rows_where_the_result_shifts_by_more_than_a_word(depth):
    check_operator(layer((1, depth)), [[np.zeros((1, depth), np.int8)], [logits(7, depth)[:1]]], oracle=False)
    assert reference(layer((1, depth)), [np.zeros((1, depth), np.int8)])[0].max() <= -127


def test_long_rows_against_tflite_micro():
    x = logits(7, 600)
    check_reference(layer((1, 600), 0.05), [[x[k : k + 1]] for k in (0, 5)])


def test_the_table_ends_where_the_reference_stops_counting():
    tables = [lower(layer((1, 4), scale), Recipe()).data[0].array.size for scale in (0.05, 0.5, 30.0)]
    assert tables[0] == 256
    assert tables[1] == 32  # Q5.26 holds differences to 31 · 0.5
    assert tables[2] == 1


def test_probabilities_sum_to_one():
    x = logits(28, 10)
    found = (reference(layer((28, 10)), [x])[0].astype(float) + 128) / 256
    assert np.abs(found.sum(axis=1) - 1).max() <= 10 / 512 + 1 / 256


@pytest.mark.parametrize(("beta", "x", "out", "error", "message"), [
    (1.0, (X, (2, 3)), ("int8", quant(0.1)), BadInput, "scale 0.1.* takes scale 0.00390625 and zero point -128"),
    (1.0, (X, (2, 3)), ("uint8", quant(1 / 256)), Unsupported, "int8→uint8"),
    (1.0, (None, ()), ("float32", None), BadInput, "a scalar"),
    (1.0, (X, (1, 4096)), ("int8", OUT["int8"]), Unsupported, "over 4096 values"),
    (1e-9, (X, (2, 3)), ("int8", OUT["int8"]), Unsupported, "not above 2"),
    (-1.0, (X, (2, 3)), ("int8", OUT["int8"]), Unsupported, "not above 2"),
])  # fmt: skip
def test_what_has_no_meaning_is_refused_with_a_reason(beta, x, out, error, message):
    q, shape = x
    given = activation("x", shape, "int8" if q else "float32", q)
    with pytest.raises(error, match=message):
        ops.check(node_graph(Softmax(beta), [given], unchecked_out(shape, *out)))
