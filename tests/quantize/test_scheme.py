"""Which scale and zero point each tensor gets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.nets import Net
from tinycomp.ir import Graph, Quant
from tinycomp.ops import OPERATORS, elementwise, pairwise
from tinycomp.ops.add_n import AddN
from tinycomp.ops.arg_extreme import ArgExtreme
from tinycomp.ops.broadcast_args import BroadcastArgs
from tinycomp.ops.cast import Cast
from tinycomp.ops.concatenation import Concatenation
from tinycomp.ops.cumsum import CumSum
from tinycomp.ops.delay import Delay
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.elementwise import Elementwise
from tinycomp.ops.fake_quant import FakeQuant
from tinycomp.ops.fill import Fill
from tinycomp.ops.l2_pool2d import L2Pool2D
from tinycomp.ops.lstm import Lstm
from tinycomp.ops.max_pool2d import MaxPool2D
from tinycomp.ops.one_hot import OneHot
from tinycomp.ops.pairwise import Pairwise
from tinycomp.ops.quantize import Quantize
from tinycomp.ops.range_ import Range as RangeOp
from tinycomp.ops.reduce import Reduce
from tinycomp.ops.relu import Relu
from tinycomp.ops.reshape import Reshape
from tinycomp.ops.select import Select
from tinycomp.ops.shape import Shape
from tinycomp.ops.softmax import Softmax
from tinycomp.ops.svdf import Svdf
from tinycomp.ops.trainable_dense import TrainableDense
from tinycomp.quantize.observe import Range
from tinycomp.quantize.rules import FUNCTION_RULES, RULES, SIGNED_UNIT, UNIT
from tinycomp.quantize.scheme import quant_of, reach, scheme

# Operators that have no int8 form or add in another arithmetic, that compute no real numbers or choose between them,
# exist at one end of an integer model only, or keep a state that is float32.
WITHOUT = (
    AddN, ArgExtreme, BroadcastArgs, Cast, CumSum, Delay, Dequantize, FakeQuant, Fill, L2Pool2D, Lstm, OneHot, Quantize,
    RangeOp, Select, Shape, Svdf, TrainableDense,
)  # fmt: skip
FAMILIES = {
    Elementwise: {name for name, f in elementwise.FUNCTIONS.items() if "int8" in f.dtypes},
    Pairwise: {name for name, f in pairwise.FUNCTIONS.items() if "int8" in f.dtypes},
    Reduce: {"sum", "max", "min"},
}


def ranges(graph: Graph, **known: Range) -> dict[str, Range]:
    """Ranges of all activations: −1 … 1 unless stated."""
    return {name: known.get(name, Range(-1, 1)) for name, t in graph.tensors.items() if t.data is None}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda o: o.name)
def test_every_operator_has_a_rule_or_a_reason_to_have_none(operator):
    assert (operator.attrs in RULES) + (operator.attrs in WITHOUT) + (operator.attrs in FAMILIES) == 1


def test_every_function_with_a_rule_has_an_int8_form():
    assert set(FUNCTION_RULES) <= set().union(*FAMILIES.values())


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_parameters_reach_the_range_and_zero_is_exact(a, b):
    quant = quant_of(Range(min(a, b), max(a, b)))
    far, step = reach(quant), quant.scale[0]
    assert step == float(np.float32(step)) > 0
    assert -128 <= quant.zero_point[0] <= 127
    assert far.low <= min(a, b, 0) + step
    assert far.high >= max(a, b, 0) - step


def test_a_tensor_of_zeros_has_usable_parameters():
    assert quant_of(Range(0, 0)).scale[0] > 0


def test_pools_and_reshapes_share_the_parameters_of_what_they_read():
    net = Net("float32")
    x = net.input(1, 4, 4, 2)
    a = net.conv(x, 3)
    b = net.op(MaxPool2D((2, 2), (2, 2)), a)
    c = net.op(Reshape((1, 12)), b)
    graph = net.graph(net.dense(c, 2))
    found = scheme(graph, ranges(graph, **{a: Range(-2, 3), b: Range(-1, 2), c: Range(-1, 2)}))
    assert found.quants[a] == found.quants[b] == found.quants[c] == quant_of(Range(-2, 3))
    assert found.quants[x] != found.quants[a]


def test_softmax_output_is_fixed_whatever_was_seen():
    net = Net("float32")
    graph = net.graph(net.op(Softmax(), net.input(1, 4)))
    assert scheme(graph, ranges(graph)).quants[graph.outputs[0]] == UNIT


def test_a_concatenation_takes_the_widest_range_of_its_operands():
    net = Net("float32")
    a, b = net.input(1, 2), net.input(1, 3)
    graph = net.graph(net.op(Concatenation(1), a, b))
    found = scheme(graph, ranges(graph, **{a: Range(-1, 0.5), b: Range(0, 7)}))
    assert found.quants[a] == found.quants[b] == quant_of(Range(-1, 7))


def test_an_operand_with_settled_parameters_does_not_narrow_a_concatenation():
    net = Net("float32")
    a = net.op(Softmax(), net.input(1, 2))
    b = net.dense(net.input(1, 3), 3)
    graph = net.graph(net.op(Concatenation(1), a, b))
    out = graph.outputs[0]
    found = scheme(graph, ranges(graph, **{a: Range(0, 1), b: Range(0, 9), out: Range(0, 9)}))
    assert found.quants[a] == UNIT
    assert found.quants[b] == found.quants[out] == quant_of(Range(0, 9))


def test_a_settled_neighbour_is_joined_where_it_reaches_as_far():
    net = Net("float32")
    a = net.op(Softmax(), net.input(1, 4))
    graph = net.graph(net.op(Reshape((2, 2)), a))
    found = scheme(graph, ranges(graph, **{a: Range(0, 0.9), graph.outputs[0]: Range(0, 0.9)}))
    assert found.quants[graph.outputs[0]] == UNIT


def test_two_settled_neighbours_keep_their_own():
    net = Net("float32")
    x = net.input(1, 4)
    graph = net.graph(net.op(Concatenation(1), net.op(Softmax(), x), x))
    given_ = {x: SIGNED_UNIT}
    found = scheme(graph, ranges(graph), given_)
    assert found.quants[x] == SIGNED_UNIT
    assert found.quants[graph.outputs[0]] == SIGNED_UNIT  # −1 … 1 is out of softmax's reach


def test_given_parameters_of_an_input_stay():
    net = Net("float32")
    x = net.input(1, 4)
    graph = net.graph(net.dense(x, 2))
    own = Quant((0.5,), (83,))
    assert scheme(graph, ranges(graph), {x: own}).quants[x] == own


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_what_only_a_relu_reads_gets_its_range(activation):
    net = Net("float32")
    x = net.input(1, 4)
    a = net.dense(x, 3)
    graph = net.graph(net.op(Relu(activation), a))
    found = scheme(graph, ranges(graph, **{a: Range(-9, 5), graph.outputs[0]: Range(0, 5)}))
    assert found.quants[a] == found.quants[graph.outputs[0]] == quant_of(Range(0, 5))


def test_what_others_read_beside_a_relu_keeps_its_range():
    net = Net("float32")
    a = net.dense(net.input(1, 4), 3)
    graph = net.graph(net.op(Relu("relu"), a), net.dense(a, 2))
    found = scheme(graph, ranges(graph, **{a: Range(-9, 5), graph.outputs[0]: Range(0, 5)}))
    assert found.quants[a] == quant_of(Range(-9, 5))


def test_an_operator_without_int8_form_is_kept():
    net = Net("float32")
    x = net.input(1, 4)
    graph = net.graph(net.op(Reduce((1,), True, "prod"), x))
    assert scheme(graph, ranges(graph)).kept == {"reduce_0"}
