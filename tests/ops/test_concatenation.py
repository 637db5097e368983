"""CONCATENATION: the reference against TensorFlow Lite Micro, the kernel against the reference, by rows or whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support import activation, check_operator, constant, quant, random_inputs, reference, single, tflm
from tinycomp import ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, DType, Graph, Quant, Tensor
from tinycomp.ops.base import Source
from tinycomp.ops.concatenation import OPERATOR, Concatenation
from tinycomp.ops.reshape import Reshape
from tinycomp.tflite import writer

(CONCATENATION,) = OPERATOR.codecs
Q = quant(0.1, -7)

# axis, the operands' sizes along it, the other dimensions, how the operands are read
GRID = [
    pytest.param(3, (3, 5), (1, 2, 4, 0), "window", id="channels"),
    pytest.param(3, (1, 1, 2), (1, 2, 3, 0), "window", id="channels of three"),
    pytest.param(2, (3, 1), (1, 2, 0, 3), "window", id="width"),
    pytest.param(1, (2, 3), (1, 0, 2, 3), "whole", id="height"),
    pytest.param(0, (1, 2), (0, 2, 2, 3), "whole", id="images"),
    pytest.param(2, (3, 1), (2, 2, 0, 3), "window", id="width of two images"),
    pytest.param(0, (4, 1), (0,), "window", id="one axis"),
    pytest.param(1, (4, 3), (3, 0), "window", id="two axes, the last"),
    pytest.param(0, (4, 3), (0, 3), "whole", id="two axes, the first"),
    pytest.param(2, (2, 3), (2, 3, 0), "window", id="features over time"),
    pytest.param(1, (2, 3), (2, 0, 3), "whole", id="time"),
    pytest.param(3, (1, 1), (1, 1, 1, 0), "window", id="one element each"),
]


def shapes(axis: int, sizes: tuple[int, ...], others: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The operands' shapes."""
    return [(*others[:axis], n, *others[axis + 1 :]) for n in sizes]


def kind(graph: Graph) -> str:
    """How the node's operands are read."""
    assert OPERATOR.access is not None
    return OPERATOR.access(graph.nodes[0], graph).kind


@pytest.mark.parametrize(("axis", "sizes", "others", "by"), GRID)
def test_the_kernel_computes_what_tflite_micro_computes(axis, sizes, others, by):
    inputs = [activation(f"x{i}", s, "int8", Q) for i, s in enumerate(shapes(axis, sizes, others))]
    graph = single(Concatenation(axis), inputs, out_quant=Q)
    assert kind(graph) == by
    check_operator(graph)


@pytest.mark.parametrize(("dtype", "q"), [("int16", quant(0.01)), ("int32", None), ("float32", None)])
@pytest.mark.parametrize("axis", [1, 3])
def test_elements_of_any_size_are_moved_whole(dtype, q, axis):
    inputs = [activation(f"x{i}", s, dtype, q) for i, s in enumerate(shapes(axis, (2, 3), (1, 2, 2, 2)))]
    check_operator(single(Concatenation(axis), inputs, out_quant=q), None)


def with_constant(axis: int, data: Array, first: bool = False) -> Graph:
    """A constant beside (or before) an int8 [1, 2, 3, 4] that stands twice."""
    x, c = activation("x", (1, 2, 3, 4), "int8", Q), constant("c", data, Q)
    return single(Concatenation(axis), [c, x, x] if first else [x, c, x], out_quant=Q)


@pytest.mark.parametrize("first", [False, True])
def test_constants_are_operands_and_a_tensor_may_stand_twice(first):
    varied = np.arange(12, dtype=np.int8).reshape(1, 2, 3, 2)
    equal = np.tile(varied[:, :1], (1, 2, 1, 1))
    assert kind(with_constant(3, varied, first)) == "whole", "rows of the constant differ"
    assert kind(with_constant(3, equal, first)) == "window", "rows of the constant are equal"
    check_operator(with_constant(3, varied, first))
    check_operator(with_constant(3, equal, first))
    check_operator(with_constant(1, np.arange(12, dtype=np.int8).reshape(1, 1, 3, 4), first))


def test_one_row_of_a_constant_with_equal_rows_is_stored():
    graph = with_constant(3, np.full((1, 2, 3, 2), 5, np.int8))
    leaf = OPERATOR.kernels[0].lower(graph.nodes[0], graph)
    assert [c.data.nbytes for c in leaf.consts] == [6]
    assert leaf.consts[0].role == "weights"


def test_a_constant_goes_with_every_item_of_a_larger_batch():
    graph = with_constant(3, np.arange(12, dtype=np.int8).reshape(1, 2, 3, 2))
    x = np.random.default_rng(0).integers(-128, 128, (5, 2, 3, 4)).astype(np.int8)
    (all_at_once,) = reference(graph, [x])
    one_by_one = [reference(graph, [item[None]])[0] for item in x]
    np.testing.assert_array_equal(all_at_once, np.concatenate(one_by_one))


def requantizing(dtype: DType, a: Quant | None, b: Quant | None, out: Quant | None) -> Graph:
    """A concatenation of two tensors that are quantized so, unchecked."""
    q = {"a": a, "b": b, "out": out}
    graph = single(Concatenation(1), [activation("a", (1, 2), dtype), activation("b", (1, 2), dtype)])
    return replace(graph, tensors={name: replace(t, quant=q[name]) for name, t in graph.tensors.items()})


@pytest.mark.parametrize(
    ("dtype", "a", "b", "out", "taken"),
    [
        ("int8", Q, Q, Q, True),
        ("int8", None, None, None, True),
        ("int8", Q, quant(0.1, -6), Q, False),
        ("int8", Q, quant(0.1000001, -7), Q, False),
        ("int8", Q, Q, quant(0.2, -7), False),
        ("int8", Q, None, Q, False),
        ("int16", quant(0.1), quant(0.2), quant(0.3), True),
        ("int16", quant(0.1), quant(0.1, 1), quant(0.1), False),
        ("int16", quant(0.1), quant(0.1), quant(0.1, 1), False),
    ],
)
def test_what_tflite_micro_will_not_copy_is_refused(dtype, a, b, out, taken):
    graph = requantizing(dtype, a, b, out)
    cases = random_inputs(graph, cases=3)[2:]
    if taken:
        ops.check(graph)
        check_operator(graph, cases)
        return
    with pytest.raises(Unsupported, match=r"and output 'out' are quantized differently \(.*scale 0.1"):
        ops.check(graph)
    with pytest.raises(RuntimeError, match="failed to allocate"):
        tflm(writer.write(graph), cases)


def read(options: dict[str, object], inputs: list[Tensor]) -> tuple[object, list[str]]:
    """What a file's CONCATENATION reads as."""
    out = (activation("y", (1,)),)
    parsed = CONCATENATION.read(Source("concatenation_0", "CONCATENATION", options, tuple(inputs), out))
    return parsed.attrs, [t.name for t in parsed.inputs]


def test_reading_counts_the_axis_from_the_front():
    a, b = activation("a", (1, 2, 3)), activation("b", (1, 2, 3))
    assert read({"axis": -1}, [a, b, a]) == (Concatenation(2), ["a", "b", "a"])
    assert read({"axis": 1}, [a, b]) == (Concatenation(1), ["a", "b"])
    assert read({"axis": 1}, [a]) == (Reshape((1, 2, 3)), ["a"]), "one operand is a view"


def test_faults_are_named():
    a = activation("a", (1, 2, 3))
    with pytest.raises(BadInput, match=r"concatenation_0 \(CONCATENATION\): axis 3 is outside a tensor of rank 3"):
        read({"axis": 3}, [a, a])
    with pytest.raises(Unsupported, match="a fused activation is not supported"):
        read({"axis": 0, "fused_activation_function": 1}, [a, a])
    with pytest.raises(BadInput, match="has no inputs"):
        read({"axis": 0}, [])
    with pytest.raises(BadInput, match=r"'b' int8\[1, 2, 4\] and 'a' int8\[1, 2, 3\] do not fit together along axis 1"):
        single(Concatenation(1), [a, activation("b", (1, 2, 4))])
    with pytest.raises(BadInput, match="do not fit together"):
        single(Concatenation(1), [a, activation("b", (1, 2, 3), "float32")])
    with pytest.raises(BadInput, match="do not fit together"):
        single(Concatenation(1), [a, activation("b", (1, 2))])
