"""RESHAPE, SQUEEZE, EXPAND_DIMS: one view, its shape settled when read."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import activation, check_operator, constant, emitted, quant, random_inputs, reference, same, single
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Graph, Node, Tensor
from tinycomp.lower import lower
from tinycomp.ops.base import Parsed, Source
from tinycomp.ops.pad import Pad
from tinycomp.ops.reshape import OPERATOR, Reshape
from tinycomp.program import Recipe

RESHAPE, SQUEEZE, EXPAND_DIMS = OPERATOR.codecs

GRID = [
    pytest.param((1, 4, 5, 3), (1, 60), id="flatten"),
    pytest.param((1, 12), (1, 3, 4, 1), id="image of a row"),
    pytest.param((1, 3, 1, 4), (3, 4), id="fewer axes"),
    pytest.param((2, 3), (1, 3, 2), id="another leading axis"),
    pytest.param((1, 1), (1,), id="one element"),
    pytest.param((2, 2, 2, 2, 2), (4, 8), id="five axes"),
]


def between_pads(shape: tuple[int, ...], target: tuple[int, ...], dtype: str) -> Graph:
    """PAD, RESHAPE, PAD, so that a kernel writes what the view shows and another reads it."""
    q = quant(0.5, 3) if dtype == "int8" else None
    front = single(Pad(((0, 0),) * (len(shape) - 1) + ((0, 1),)), [activation("x", shape, dtype, q)], out_quant=q)
    middle = Tensor("wide", front.tensors["out"].shape, dtype, q)
    wide = (*shape[:-1], shape[-1] + 1)
    lead = np.prod(wide) // np.prod(target[1:], dtype=int)
    seen = (int(lead), *target[1:])
    if int(np.prod(seen)) != int(np.prod(wide)):
        seen = (int(np.prod(wide)),)
    last = Pad(((0, 0),) * (len(seen) - 1) + ((1, 0),))
    nodes = (
        Node("pad_0", front.nodes[0].attrs, ("x",), ("wide",)),
        Node("reshape_1", Reshape(seen), ("wide",), ("seen",)),
        Node("pad_2", last, ("seen",), ("out",)),
    )
    out = Tensor("out", (*seen[:-1], seen[-1] + 1), dtype, q)
    made = {t.name: t for t in (front.tensors["x"], middle, Tensor("seen", seen, dtype, q), out)}
    graph = Graph("view", made, nodes, ("x",), ("out",))
    ops.check(graph)
    return graph


@pytest.mark.parametrize(("shape", "target"), GRID)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_view_between_kernels_shows_the_bytes_that_were_written(shape, target, dtype):
    check_operator(between_pads(shape, target, dtype))


def test_a_view_costs_no_step_and_no_bytes():
    graph = between_pads((1, 4, 5, 3), (1, 80), "int8")
    program = lower(graph, Recipe())
    assert [step.node.name for step in program.steps] == ["pad_0", "pad_2"]
    seen, wide = program.places["seen"], program.places["wide"]
    assert seen.offsets[0] == wide.offsets[0]
    assert wide.affine == (wide.offsets[0], wide.row_bytes), "the rows below the view have gaps"


@pytest.mark.parametrize(("shape", "target"), GRID)
def test_the_reference_keeps_the_order_of_elements(shape, target):
    graph = single(Reshape(target), [activation("x", shape, "int8", quant(0.1))])
    x = np.arange(np.prod(shape)).reshape(shape).astype(np.int8)
    assert reference(graph, [x])[0].ravel().tolist() == list(range(x.size))
    assert reference(graph, [x])[0].shape == target


def test_a_larger_batch_keeps_its_leading_axis():
    graph = single(Reshape((1, 20, 3)), [activation("x", (1, 4, 5, 3), "float32")])
    x = np.arange(420, dtype=np.float32).reshape(7, 4, 5, 3)
    np.testing.assert_array_equal(reference(graph, [x])[0], x.reshape(7, 20, 3))


def test_a_model_that_is_one_view_gives_its_input_back():
    graph = single(Reshape((1, 6)), [activation("x", (1, 2, 3), "int8", quant(0.1))], out_quant=quant(0.1))
    cases = random_inputs(graph)
    for case, answer in zip(cases, emitted(graph, cases), strict=True):
        same(answer, reference(graph, case), "emitted")


def read(x_shape: tuple[int, ...], shape: Array | Tensor | None, options: dict[str, object] | None = None,
         declared: tuple[int, ...] = (1,)) -> Reshape:  # fmt: skip
    """The attributes that a file's RESHAPE reads as."""
    x = activation("x", x_shape, "float32")
    inputs: tuple[Tensor, ...] = (x,)
    if shape is not None:
        inputs = (x, shape if isinstance(shape, Tensor) else constant("s", shape))
    out = (activation("y", declared, "float32"),)
    parsed = RESHAPE.read(Source("reshape_0", "RESHAPE", options or {}, inputs, out))
    assert [t.name for t in parsed.inputs] == ["x"]
    assert isinstance(parsed.attrs, Reshape)
    return parsed.attrs


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [([1, 12], (1, 12)), ([-1, 4], (3, 4)), ([2, -1, 3], (2, 2, 3)), ([12, -1], (12, 1)), ([-1], (12,))],
)
def test_the_free_dimension_is_settled(wanted, shape):
    assert read((1, 12), np.array(wanted, np.int32)).shape == shape
    assert read((1, 12), None, {"new_shape": tuple(wanted)}).shape == shape


def test_where_the_shape_comes_from():
    assert read((3, 4), np.array([2, 6]), {"new_shape": (6, 2)}, (12,)).shape == (2, 6), "the tensor comes first"
    assert read((3, 4), activation("s", (2,), "int32"), None, (4, 3)).shape == (4, 3), "a shape computed at run time"
    assert read((3, 4), None, {"new_shape": ()}, (4, 3)).shape == (4, 3), "no shape at all"
    assert read((1, 1), None, {"new_shape": (0,)}).shape == (), "a scalar in old files"
    assert read((1, 1), np.array([], np.int32)).shape == ()


@pytest.mark.parametrize("wanted", [[-1, -1], [5, -1], [0, -1], [-2, 6]])
def test_shapes_that_cannot_be_filled_are_refused(wanted):
    with pytest.raises(BadInput, match=r"reshape_0 \(RESHAPE\): 12 elements do not fill the shape"):
        read((1, 12), np.array(wanted))


def test_a_shape_with_other_elements_is_refused():
    with pytest.raises(BadInput, match=r"input 'x' \[1, 12\] has 12 elements, the shape \[1, 11\] 11"):
        single(Reshape((1, 11)), [activation("x", (1, 12), "float32")])


@pytest.mark.parametrize(
    ("shape", "dims", "left"),
    [((1, 3, 1, 4), (), (3, 4)), ((1, 3, 1, 4), (0,), (3, 1, 4)), ((1, 3, 1, 4), (-2, 0), (3, 4)), ((1, 1), (), ())],
)
def test_squeeze_is_a_view(shape, dims, left):
    x = activation("x", shape, "float32")
    parsed = SQUEEZE.read(Source("s", "SQUEEZE", {"squeeze_dims": dims}, (x,), (activation("y", left, "float32"),)))
    assert parsed == Parsed(Reshape(left), (x,))


@pytest.mark.parametrize(
    ("axis", "made"), [(0, (1, 3, 4)), (1, (3, 1, 4)), (2, (3, 4, 1)), (-1, (3, 4, 1)), (-3, (1, 3, 4))]
)
def test_expand_dims_is_a_view(axis, made):
    x, a = activation("x", (3, 4), "float32"), constant("a", np.array(axis, np.int32))
    parsed = EXPAND_DIMS.read(Source("e", "EXPAND_DIMS", {}, (x, a), (activation("y", made, "float32"),)))
    assert parsed == Parsed(Reshape(made), (x,))


def test_axes_that_do_not_exist_are_refused():
    x, y = activation("x", (3, 1), "float32"), (activation("y", (3,), "float32"),)
    with pytest.raises(BadInput, match=r"cannot drop axes \[0\] of 'x' \[3, 1\]"):
        SQUEEZE.read(Source("s", "SQUEEZE", {"squeeze_dims": (0,)}, (x,), y))
    with pytest.raises(BadInput, match="axis 2 is outside a tensor of rank 2"):
        SQUEEZE.read(Source("s", "SQUEEZE", {"squeeze_dims": (2,)}, (x,), y))
    with pytest.raises(BadInput, match="axis 3 is outside a tensor of rank 3"):
        EXPAND_DIMS.read(Source("e", "EXPAND_DIMS", {}, (x, constant("a", np.array([3], np.int32))), y))
    with pytest.raises(BadInput, match="needs one axis, found 2"):
        EXPAND_DIMS.read(Source("e", "EXPAND_DIMS", {}, (x, constant("a", np.array([0, 1], np.int32))), y))
    with pytest.raises(Unsupported, match="computed at run time"):
        EXPAND_DIMS.read(Source("e", "EXPAND_DIMS", {}, (x, activation("a", (), "int32")), y))
