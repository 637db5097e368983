"""Operators that only move elements: the reference against the interpreters, the copying kernel against it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.folding import graph_of
from tests.support import activation, check_operator, emitted, quant, random_inputs, reference, same
from tinycomp import rules
from tinycomp.errors import BadInput
from tinycomp.ir import Attrs, DType, Graph
from tinycomp.ops import OPERATORS, moves
from tinycomp.ops.batch_space import BatchToSpace, SpaceToBatch
from tinycomp.ops.depth_space import DepthToSpace, SpaceToDepth
from tinycomp.ops.mirror_pad import MirrorPad
from tinycomp.ops.pack import Pack
from tinycomp.ops.resize_nearest import ResizeNearest
from tinycomp.ops.reverse import Reverse
from tinycomp.ops.split import Split
from tinycomp.ops.strided_slice import StridedSlice
from tinycomp.ops.tile import Tile
from tinycomp.ops.unpack import Unpack
from tinycomp.program import Recipe

NONE = ((0, 0), (0, 0))
KINDS = [("int8", 0.1), ("float32", None)]

# attributes, shape, how the operand is read, the interpreter that has the operator
GRID = [
    pytest.param(DepthToSpace(2), (1, 3, 2, 8), "whole", "tflm", id="depth to space"),
    pytest.param(DepthToSpace(3), (2, 1, 2, 9), "whole", "tflm", id="depth to space of two images"),
    pytest.param(SpaceToDepth(2), (1, 4, 6, 3), "window", "tflm", id="space to depth"),
    pytest.param(SpaceToDepth(3), (2, 3, 6, 1), "window", "tflm", id="space to depth of two images"),
    pytest.param(SpaceToBatch((2, 2), NONE), (1, 4, 6, 3), "whole", "tflm", id="space to batch"),
    pytest.param(BatchToSpace((2, 2), NONE), (4, 2, 3, 2), "whole", "tflm", id="batch to space"),
    pytest.param(BatchToSpace((2, 3), ((1, 0), (2, 2))), (6, 2, 3, 2), "whole", "tflm", id="batch to space, cropped"),
    pytest.param(Reverse((2,)), (1, 3, 4, 2), "window", "litert", id="columns backwards"),
    pytest.param(Reverse((1,)), (1, 3, 4, 2), "whole", "litert", id="rows backwards"),
    pytest.param(Reverse((0,)), (5,), "window", "litert", id="a vector backwards"),
    pytest.param(Tile((1, 1, 3, 2)), (1, 2, 3, 4), "window", "litert", id="tiles within a row"),
    pytest.param(Tile((2, 3)), (2, 3), "whole", "litert", id="tiles of rows"),
    pytest.param(Tile((4,)), (3,), "window", "litert", id="tiles of a vector"),
    pytest.param(Tile((2, 1, 3, 1)), (1, 4, 1, 2), "whole", "tflm", id="broadcast"),
    pytest.param(Tile((3, 4)), (1, 1), "window", "tflm", id="broadcast of one element"),
    pytest.param(MirrorPad(((0, 0), (1, 2), (2, 1), (0, 0)), "reflect"), (1, 4, 3, 2), "whole", "tflm", id="reflect"),
    pytest.param(ResizeNearest((6, 8)), (1, 3, 4, 2), "whole", "tflm", id="twice the size"),
    pytest.param(ResizeNearest((5, 7), True), (1, 3, 4, 2), "whole", "tflm", id="resized, corners aligned"),
    pytest.param(ResizeNearest((2, 7), False, True), (2, 5, 4, 1), "whole", "tflm", id="resized, pixel centres"),
    pytest.param(ResizeNearest((3, 8)), (1, 3, 4, 2), "window", "tflm", id="wider"),
    pytest.param(MirrorPad(((2, 1), (1, 3)), "symmetric"), (2, 3), "whole", "tflm", id="symmetric"),
    pytest.param(MirrorPad(((0, 0), (0, 0), (2, 1), (0, 0))), (1, 4, 3, 2), "window", "tflm", id="reflect in a row"),
    pytest.param(StridedSlice((0, 1, 0, 1), (1, 6, 4, 3), (1, 2, 1, 1)), (1, 6, 4, 3), "window", "tflm", id="slice"),
    pytest.param(StridedSlice((1, 2), (3, 4), (1, 1), ()), (3, 5), "window", "tflm", id="slice of a matrix"),
    pytest.param(StridedSlice((0, 2, 0), (2, 3, 4), (1, 1, 1), (1,)), (2, 4, 4), "window", "tflm", id="one column"),
    pytest.param(StridedSlice((7,), (-1,), (-2,)), (9,), "window", "tflm", id="backwards"),
]


def graph_for(attrs: Attrs, shape: tuple[int, ...], dtype: DType, scale: float | None, outputs: int = 1) -> Graph:
    """One node on one input."""
    return graph_of(attrs, [activation("x", shape, dtype, None if scale is None else quant(scale, -7))], outputs)


@pytest.mark.parametrize(("dtype", "scale"), KINDS)
@pytest.mark.parametrize(("attrs", "shape", "kind", "by"), GRID)
def test_the_kernel_copies_what_the_interpreter_copies(attrs, shape, kind, by, dtype, scale):
    graph = graph_for(attrs, shape, dtype, scale)
    access = OPERATORS[attrs.op].access
    assert access is not None
    assert access(graph.nodes[0], graph).kind == kind
    check_operator(graph, by=by)


def test_borders_that_space_to_batch_adds_are_a_pad():
    attrs, shape = SpaceToBatch((2, 3), ((1, 0), (0, 2))), (1, 3, 4, 2)
    graph = graph_for(attrs, shape, "int8", 0.1)
    check_operator(graph, by="litert")
    # TensorFlow Lite Micro never sets the value of the fill, so that its answer is no reference.
    check_operator(graph_of(attrs, [activation("x", shape, "int8", quant(0.1, 0))]), by="litert")
    made, _ = rules.optimise(graph)
    assert [n.op for n in made.nodes] == ["pad", "space_to_batch"]


@pytest.mark.parametrize(("attrs", "shape", "outputs", "ops"), [
    (Split(3, (2, 2, 2)), (1, 3, 2, 6), 3, {"strided_slice"}),
    (Split(1, (1, 3)), (1, 4, 2, 3), 2, {"strided_slice"}),
    (Split(0, (3, 2, 1)), (6,), 3, {"strided_slice"}),
    (Unpack(1), (2, 3, 4), 3, {"strided_slice"}),
    (Unpack(0), (2, 3), 2, {"strided_slice"}),
    (Unpack(2), (1, 3, 2, 4), 2, {"strided_slice"}),
])  # fmt: skip
@pytest.mark.parametrize(("dtype", "scale"), KINDS)
def test_operators_with_several_outputs_run_as_one_slice_for_each(attrs, shape, outputs, ops, dtype, scale):
    graph = graph_for(attrs, shape, dtype, scale, outputs)
    check_operator(graph)
    made, _ = rules.optimise(graph)
    assert {n.op for n in made.nodes} == ops
    assert len(made.nodes) == outputs


@pytest.mark.parametrize(("axis", "count"), [(0, 2), (1, 3), (3, 2), (2, 1)])
@pytest.mark.parametrize(("dtype", "scale"), KINDS)
def test_packing_is_a_concatenation_of_views(axis, count, dtype, scale):
    inputs = [activation(f"x{i}", (2, 3, 4), dtype, scale and quant(scale)) for i in range(count)]
    graph = graph_of(Pack(axis), inputs)
    check_operator(graph)
    made, _ = rules.optimise(graph)
    assert {n.op for n in made.nodes} <= {"reshape", "concatenation"}


def test_a_tensor_packed_with_itself_and_a_constant():
    data = np.arange(6, dtype=np.int8).reshape(2, 3)
    x, c = activation("x", (2, 3), "int8", quant(0.1)), activation("c", (2, 3), "int8", quant(0.1))
    fixed = type(c)("c", c.shape, c.dtype, c.quant, data)
    check_operator(graph_of(Pack(1), [x, fixed, x]))


def test_rows_of_input_that_make_one_row_of_output_are_taps():
    graph = graph_for(SpaceToDepth(2), (1, 6, 4, 3), "int8", 0.1)
    access = OPERATORS["space_to_depth"].access
    assert access is not None
    (taps,) = access(graph.nodes[0], graph).operands
    assert taps is not None
    assert (taps.count, taps.stride, taps.pad) == (2, 2, 0)
    check_operator(graph)


def visited(walk: moves.Walk) -> np.ndarray:
    """The elements that a walk copies."""
    at = np.array([walk.start])
    for loop in walk.loops:
        steps = np.arange(loop.times) * loop.step if loop.table < 0 else np.array(walk.tables[loop.table])
        at = (at[:, None] + steps).ravel()
    return at


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_a_walk_visits_what_it_was_made_from(shape, data):
    index = np.arange(np.prod(shape)).reshape(shape)
    for axis, n in enumerate(shape):
        picks = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6))
        index = np.take(index, picks, axis=axis)
    np.testing.assert_array_equal(visited(moves.walk(index)), index.ravel())
    shuffled = np.array(data.draw(st.permutations(index.ravel().tolist()))).reshape(index.shape)
    np.testing.assert_array_equal(visited(moves.walk(shuffled)), shuffled.ravel())


def test_repetitions_and_digits_need_no_table():
    index = np.arange(12).reshape(3, 4)
    assert moves.walk(np.tile(index, (2, 1))).loops == ((2, 0, 0, -1), (12, 0, 1, -1))
    assert moves.walk(np.repeat(index, 2, axis=1)).loops == ((12, 0, 1, -1), (2, 0, 0, -1))
    assert moves.walk(index[:, [0, 3, 1]]).tables == ((0, 3, 1),)


def test_slices_stream():
    shape = (1, 8, 6, 4)
    graph = graph_for(StridedSlice((0, 0, 1, 1), (1, 8, 6, 3), (1, 1, 1, 1)), shape, "int8", 0.1)
    cases = random_inputs(graph)
    for case, answer in zip(cases, emitted(graph, cases, Recipe(stream="push")), strict=True):
        same(answer, reference(graph, case), "pushed")


@pytest.mark.parametrize(("attrs", "shape", "message"), [
    (DepthToSpace(2), (1, 2, 2, 3), r"blocks of 2 do not go with 'x' \[1, 2, 2, 3\]"),
    (SpaceToDepth(2), (1, 3, 2, 3), "blocks of 2 do not go with"),
    (SpaceToDepth(2), (4, 4), "blocks of 2 do not go with"),
    (SpaceToBatch((2, 2), ((0, 0), (0, 0))), (1, 3, 2, 3), r"blocks of \[2, 2\]"),
    (BatchToSpace((2, 2), ((0, 0), (0, 0))), (3, 3, 2, 3), r"blocks of \[2, 2\]"),
    (Reverse((3,)), (2, 2), r"reverses axes \[3\]"),
    (Tile((2,)), (2, 2), r"repeats 'x' \[2, 2\] \[2\] times"),
    (ResizeNearest((0, 2)), (1, 2, 2, 1), r"resizes 'x' \[1, 2, 2, 1\] to \[0, 2\]"),
    (MirrorPad(((0, 2), (0, 0))), (2, 2), "at most as wide as what it mirrors"),
])  # fmt: skip
def test_what_does_not_fit_is_named(attrs, shape, message):
    with pytest.raises(BadInput, match=message):
        graph_for(attrs, shape, "float32", None)
