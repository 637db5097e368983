"""SELECT and SELECT_V2: the reference against the interpreters, the kernel against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.elementwise import node_graph, panel, unchecked_out
from tests.support import activation, check_operator, constant, kernel_rows, quant, random_inputs, single
from tinycomp import ops, rules
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import DType, Graph, Tensor
from tinycomp.ops import CODECS
from tinycomp.ops.base import Source
from tinycomp.ops.select import Select

Shape = tuple[int, ...]
# shapes of the condition and of both values, which of them ("c", "x", "y") are constants
GRID: list[tuple[Shape, Shape, Shape, str]] = [
    ((1, 3, 4, 2), (1, 3, 4, 2), (1, 3, 4, 2), ""), ((3, 5), (3, 5), (1,), "y"), ((3, 5), (), (3, 5), "x"),
    ((1,), (2, 3, 4), (2, 3, 4), ""), ((6,), (6,), (6,), "c"), ((2, 3, 4), (2, 3, 4), (2, 3, 4), "x"),
    ((3, 5), (1,), (1,), "xy"), ((2, 3, 4), (1,), (2, 3, 4), ""),
]  # fmt: skip
BROADCAST: list[tuple[Shape, Shape, Shape, str]] = [
    ((1, 1, 4, 4), (1, 2, 4, 4), (1,), "y"), ((4,), (3, 4), (3, 1), ""), ((4,), (3, 4), (3, 1), "cy"),
    ((2, 1), (1, 3), (2, 3), ""),
]  # fmt: skip


def chosen(condition: Shape, x: Shape, y: Shape, fixed: str, dtype: DType) -> Graph:
    """One node over those shapes, with random constants."""
    rng, q = np.random.default_rng(sum(x)), quant(0.05, 3) if dtype in ("int8", "int16") else None

    def operand(name: str, shape: Shape) -> Tensor:
        if name not in fixed:
            return activation(name, shape, dtype, q)
        return constant(name, np.asarray(rng.integers(-100, 100, shape)).astype(dtype), q)

    given = activation("c", condition, "bool")
    if "c" in fixed:
        given = constant("c", np.asarray(rng.integers(0, 2, condition)).astype(bool))
    values = [operand("x", x), operand("y", y)]
    shape = np.broadcast_shapes(condition, x, y)
    return single(Select(), [given, *values], Tensor("out", shape, dtype, q))


@pytest.mark.parametrize(("dtype", "by"), [
    ("int8", "tflm"), ("int16", "tflm"), ("float32", "tflm"), ("int32", "litert"), ("bool", "litert"),
])  # fmt: skip
def test_elements_are_chosen_as_in_the_interpreters(dtype, by):
    graph = panel([chosen(*shapes, dtype) for shapes in GRID])
    check_operator(graph, random_inputs(graph, cases=3), by=by)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_operands_that_broadcast_are_repeated_before(dtype):
    graph = panel([chosen(*shapes, dtype) for shapes in BROADCAST])
    made, _ = rules.optimise(graph)
    assert {n.op for n in made.nodes} == {"select", "tile"}
    check_operator(graph, random_inputs(graph, cases=3))


def test_an_operand_may_stand_on_both_sides():
    x = activation("x", (2, 3), "float32")
    graph = single(Select(), [activation("c", (2, 3), "bool"), x, x], replace(x, name="out"))
    assert kernel_rows(graph)
    check_operator(graph)


def test_what_does_not_fit_is_named():
    c, x = activation("c", (2, 3), "bool"), activation("x", (2, 3), "float32")
    with pytest.raises(BadInput, match="expected bool and twice the same"):
        ops.check(node_graph(Select(), [x, x, x], unchecked_out((2, 3), "float32")))
    with pytest.raises(BadInput, match=r"\[2, 3\], \[2, 3\], \[4\] do not broadcast"):
        ops.check(node_graph(Select(), [c, x, activation("y", (4,), "float32")], unchecked_out((2, 3), "float32")))
    with pytest.raises(Unsupported, match=r"the condition 'c' \[2\] chooses whole items of 'x'"):
        CODECS["SELECT"].read(Source("s", "SELECT", {}, (activation("c", (2,), "bool"), x, x), (x,)))
