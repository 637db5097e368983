"""Functions of two operands: the reference against the interpreters, every kernel row against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.broadcast import SCALES, Ends
from tests.ops.elementwise import EVERY_PAIR, check_reference, node_graph, panel, unchecked_out
from tests.support import activation, check_operator, constant, litert, quant, reference, same, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph, Quant, Tensor
from tinycomp.ops.base import Source
from tinycomp.ops.pairwise import FUNCTIONS, OPERATOR, Pairwise
from tinycomp.tflite import writer

TRUTH = [name for name, f in FUNCTIONS.items() if f.truth and "int8" in f.dtypes]
BELOW_ONE: list[tuple[Ends, Ends, Ends]] = [s for s in SCALES if s[0][0] < 1 and s[1][0] < 1]
FINE: list[tuple[Ends, Ends, Ends]] = [((0.1, 3), (0.02, -7), (0.1, 5)), ((0.5, -128), (0.1, 127), (0.11, -128))]
MEETINGS = [
    ((1, 3, 4, 5), (1, 3, 4, 5), ""),
    ((1, 3, 4, 5), (5,), "b"),
    ((1, 1, 4, 1), (1, 3, 1, 5), ""),
    ((), (3, 7), ""),
]
BY_LITERT = {("pow", "float32"), ("floor_div", "int32"), ("floor_mod", "int32"), ("div", "int32")}


def scaled(name: str, ends: tuple[Ends, Ends, Ends], shape: tuple[int, ...] = EVERY_PAIR[0].shape) -> Graph:
    """One int8 node over those quantizations."""
    a, b, out = (quant(*e) for e in ends)
    truth = FUNCTIONS[name].truth
    result = Tensor("out", shape, "bool" if truth else "int8", None if truth else out)
    return single(
        Pairwise("none", name), [activation("a", shape, "int8", a), activation("b", shape, "int8", b)], result
    )


@pytest.mark.parametrize("name", TRUTH)
def test_every_pair_of_bytes_compares_as_in_tflite_micro(name):
    graphs = [scaled(name, ends) for ends in BELOW_ONE[:3]]
    check_reference(panel(graphs), [list(EVERY_PAIR) * len(graphs)])


@pytest.mark.parametrize("name", ["minimum", "maximum", "squared_difference"])
def test_every_pair_of_bytes_under_many_scales(name):
    scales = SCALES if name != "squared_difference" else [SCALES[0], SCALES[1], SCALES[2], SCALES[5]]
    if name in ("minimum", "maximum"):
        scales = [(a, a, a) for a, _, _ in scales]
    graphs = [scaled(name, ends) for ends in scales]
    check_reference(panel(graphs), [list(EVERY_PAIR) * len(graphs)])


def divisors(zero_point: int) -> list[np.ndarray]:
    """Every pair of bytes but those that divide by zero."""
    a, b = EVERY_PAIR
    other = np.int8(zero_point + 1 if zero_point < 127 else zero_point - 1)
    return [a, np.where(b == zero_point, other, b)]


def test_every_quotient_as_in_tflite_micro():
    fine: list[tuple[Ends, Ends, Ends]] = [((0.1, 3), (0.02, -7), (0.05, 5)), ((0.5, -128), (0.1, 127), (0.07, -128))]
    graphs = [scaled("div", ends) for ends in fine]
    case = [x for ends in fine for x in divisors(ends[1][1])]
    check_reference(panel(graphs), [case])
    graph = replace(panel(graphs), reference="litert")
    same(reference(graph, case), litert(writer.write(graph), [case])[0], "litert")


def test_a_quotient_by_zero_is_zero_and_small_factors_are_rounded():
    graph = scaled("div", ((0.05, 0), (0.05, 0), (0.5, 0)), (2, 4))
    a = np.array([[100, -100, 7, 0], [100, 90, -90, 1]], np.int8)
    b = np.array([[0, 0, 0, 0], [1, 1, 1, 127]], np.int8)
    found = reference(graph, [a, b])[0].tolist()
    assert found == [[0, 0, 0, 0], [127, 127, -128, 0]]
    check_operator(graph, [[a, b]], oracle=False)


@pytest.mark.parametrize("dims", [(1, 1, 4), (4,)])
def test_prelu_as_in_tflite_micro(dims):
    rng = np.random.default_rng(3)
    graphs: list[Graph] = []
    for x, alpha, out in SCALES[:4]:
        slopes = constant("alpha", rng.integers(-128, 128, dims).astype(np.int8), quant(*alpha))
        given = activation("x", (1, 8, 8, 4), "int8", quant(*x))
        graphs.append(single(Pairwise("none", "prelu"), [given, slopes], out_quant=quant(*out)))
    x = np.arange(-128, 128).astype(np.int8).reshape(1, 8, 8, 4)
    check_operator(panel(graphs), [[x] * len(graphs), [np.flip(x, 3).copy()] * len(graphs)])


def test_the_int8_kernels_in_c():
    named = [(n, BELOW_ONE[1]) for n in TRUTH] + [("squared_difference", SCALES[1]), ("div", FINE[0]), ("div", FINE[1])]
    named += [("minimum", SCALES[0]), ("maximum", SCALES[0]), ("prelu", SCALES[1])]
    pair = [x[:, :8] for x in EVERY_PAIR]
    graph = panel([scaled(name, ends, pair[0].shape) for name, ends in named])
    rng = np.random.default_rng(0)
    cases = [[rng.integers(-128, 128, pair[0].shape).astype(np.int8) for _ in graph.inputs] for _ in range(2)]
    check_operator(graph, cases, oracle=False)


def met(name: str, dtype: DType, a: tuple[int, ...], b: tuple[int, ...], fixed: str) -> Graph:
    """One unquantized node over two shapes."""
    rng = np.random.default_rng(len(a) + len(b))

    def operand(label: str, shape: tuple[int, ...]) -> Tensor:
        if label not in fixed:
            return activation(label, shape, dtype)
        drawn = rng.normal(0, 2, shape) if dtype == "float32" else rng.integers(1, 9, shape)
        return constant(label, np.asarray(drawn).astype(dtype))

    result = np.broadcast_shapes(a, b)
    out = Tensor("out", result, "bool" if FUNCTIONS[name].truth else dtype)
    return single(Pairwise("none", name), [operand("a", a), operand("b", b)], out)


def values(t: Tensor, positive: bool, seed: int) -> np.ndarray:
    """Random values in which equal ones are frequent; none that divides by zero where `positive`."""
    rng = np.random.default_rng(seed)
    if t.dtype == "bool":
        return rng.integers(0, 2, t.shape).astype(bool)
    if t.dtype in ("int16", "int32"):
        drawn = rng.integers(-9, 10, t.shape)
        return np.where(drawn == 0, 3, drawn).astype(t.dtype)
    drawn = rng.integers(-12, 13, t.shape) / 4
    return (np.abs(drawn) + 0.5 if positive else np.where(drawn == 0, 0.25, drawn)).astype(np.float32)


def unquantized(litert_only: bool) -> list[Graph]:
    """Every function in every dtype but int8, over several ways in which shapes meet."""
    return [
        met(name, dtype, *meeting)
        for name, f in FUNCTIONS.items()
        for dtype in f.dtypes
        for meeting in MEETINGS[: 3 if dtype == "float32" else 1]
        if dtype != "int8" and ((name, dtype) in BY_LITERT) == litert_only
    ]


@pytest.mark.parametrize("by", ["tflm", "litert"])
def test_unquantized_operands_meet_as_in_the_interpreters(by):
    graphs = unquantized(by == "litert")
    graph = panel(graphs)
    positive = {
        f"{n}_{k}" for k, g in enumerate(graphs) for n in g.inputs if g.nodes[0].attrs == Pairwise("none", "pow")
    }
    cases = [[values(graph.tensors[n], n in positive, 7 * k + i) for i, n in enumerate(graph.inputs)] for k in range(2)]
    check_operator(graph, cases, by=by)


@pytest.mark.parametrize("name", ["div", "floor_div", "floor_mod"])
def test_integers_divided_by_zero_and_by_minus_one_do_not_stop_the_program(name):
    graph = met(name, "int32", (4,), (4,), "")
    case = [np.array([7, -(2**31), -7, 0], np.int32), np.array([0, -1, 2, 0], np.int32)]
    check_operator(graph, [case], oracle=False)
    wanted = {"div": [0, -(2**31), -3, 0], "floor_div": [0, -(2**31), -4, 0], "floor_mod": [0, 0, 1, 0]}
    assert reference(graph, case)[0].tolist() == wanted[name]


def test_operands_broadcast_over_five_axes():
    given = [activation("a", (2, 1, 3, 1, 2), "float32"), activation("b", (1, 3, 1, 2, 1), "float32")]
    graph = single(Pairwise("none", "maximum"), given)
    rng = np.random.default_rng(1)
    case = [rng.normal(size=t.shape).astype(np.float32) for t in given]
    check_operator(graph, [case], oracle=False)
    same(reference(graph, case), litert(writer.write(graph), [case])[0], "five axes")


@pytest.mark.parametrize("act", ["relu", "relu6", "relu_n1_to_1"])
def test_a_fused_activation_clamps_the_quotient(act):
    given = [activation("a", (1, 2, 3, 4), "float32"), activation("b", (4,), "float32")]
    case = [np.linspace(-9, 9, 24, dtype=np.float32).reshape(1, 2, 3, 4), np.array([1, -2, 0.5, 3], np.float32)]
    check_operator(single(Pairwise(act, "div"), given), [case])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reading_undoes_writing(name):
    graph = met(name, FUNCTIONS[name].dtypes[-1], (3,), (3,), "")
    (codec,) = (c for c in OPERATOR.codecs if c.builtin == name.upper())
    assert codec.write is not None
    written = codec.write(graph.nodes[0], graph)
    assert written is not None
    source = Source("x_0", name.upper(), written.options, graph.ins(graph.nodes[0]), (graph.tensors["out"],))
    assert codec.read(source).attrs == graph.nodes[0].attrs


ONE = quant(1)


@pytest.mark.parametrize(("name", "a", "b", "out", "error", "message"), [
    ("pow", ("int8", ONE), ("int8", ONE), ("int8", ONE), Unsupported, r"has dtypes int8,int8→int8 on 'a', 'b'"),
    ("equal", ("int8", ONE), ("int8", ONE), ("bool", None), Unsupported, "'a' has scale 1; the reference compares"),
    ("minimum", ("int8", None), ("int8", ONE), ("int8", ONE), BadInput, "no quantization parameters"),
    ("maximum", ("int8", Quant((0.1, 0.2), (0, 0))), ("int8", ONE), ("int8", ONE), Unsupported, "per channel"),
    ("squared_difference", ("int8", ONE), ("int8", ONE), ("int8", quant(1e-5)), Unsupported, "takes less than 1"),
    ("prelu", ("int8", ONE), ("int8", ONE), ("int8", quant(1e-5)), Unsupported, "takes less than 16384"),
])  # fmt: skip
def test_what_has_no_meaning_is_refused_with_a_reason(name, a, b, out, error, message):
    graph = node_graph(Pairwise("none", name), [activation("a", (2,), *a), activation("b", (2,), *b)],
                       unchecked_out((2,), *out))  # fmt: skip
    with pytest.raises(error, match=message):
        ops.check(graph)


def test_int32_quotients_have_no_fused_activation():
    graph = met("div", "int32", (2,), (2,), "")
    node = replace(graph.nodes[0], attrs=Pairwise("relu", "div"))
    with pytest.raises(Unsupported, match="int32 with the fused activation relu"):
        ops.check(replace(graph, nodes=(node,)))
