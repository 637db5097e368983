"""ADD: the reference against TensorFlow Lite Micro, every kernel row against the reference; what SUB and MUL share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.broadcast import MEETINGS, SCALES, meeting, scaled
from tests.ops.elementwise import EVERY_PAIR, node_graph, panel, unchecked_out
from tests.support import activation, check_operator, constant, emitted, quant, random_inputs, reference, same, single
from tinycomp import interpret, ops
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Quant
from tinycomp.lower import lower
from tinycomp.ops import binary
from tinycomp.ops.add import Add
from tinycomp.ops.base import Source
from tinycomp.program import Recipe

ONE, TWO = quant(1), Quant((0.1, 0.2), (0, 0))


@pytest.mark.parametrize("dtype", ["int8", "float32", "int32"])
def test_operands_of_every_shape_meet_as_in_tflite_micro(dtype):
    check_operator(panel([meeting(Add(), a, b, fixed, dtype) for a, b, fixed, _ in MEETINGS]))


@pytest.mark.parametrize(("a", "b", "fixed", "kind"), MEETINGS)
def test_rows_are_walked_one_by_one_where_strides_can_say_it(a, b, fixed, kind):
    graph = meeting(Add(), a, b, fixed, "int8")
    assert binary.access(graph.nodes[0], graph).kind == kind


def test_every_pair_of_bytes_under_many_scales():
    graphs = [scaled(Add(), a, b, out, EVERY_PAIR[0].shape) for a, b, out in SCALES]
    check_operator(panel(graphs), [list(EVERY_PAIR) * len(SCALES)])


def test_one_function_serves_scales_that_differ_when_size_matters():
    graph = panel([scaled(Add(), a, b, out, (1, 2, 3, 4)) for a, b, out in SCALES])
    assert any(f.arguments for f in lower(graph, Recipe(opt="size")).functions)
    cases = random_inputs(graph)
    for case, answer in zip(cases, emitted(graph, cases, Recipe(opt="size")), strict=True):
        same(answer, reference(graph, case), "shared functions")


@pytest.mark.parametrize("act", ["relu", "relu6", "relu_n1_to_1"])
def test_fused_activations_clamp_the_sum(act):
    x = [activation("a", (1, 2, 3, 4), "float32"), activation("b", (4,), "float32")]
    graphs = [scaled(Add(act), a, b, out, (1, 2, 3, 4)) for a, b, out in SCALES]
    check_operator(panel([*graphs, single(Add(act), x)]))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_tensor_added_to_itself(dtype):
    x = activation("x", (1, 3, 2, 5), dtype, quant(0.05, 7) if dtype == "int8" else None)
    check_operator(single(Add(), [x, x], out_quant=quant(0.11, -2) if dtype == "int8" else None))


def test_a_larger_batch_adds_case_by_case():
    graph = meeting(Add(), (1, 3, 4, 5), (5,), "b", "int8")
    x = random_inputs(graph, cases=4)
    batch = interpret.run(graph, [np.concatenate([case[0] for case in x])])["out"]
    same([batch[k : k + 1] for k in range(4)], [reference(graph, case)[0] for case in x], "batch")


def test_int32_wraps():
    graph = single(Add(), [activation("a", (4,), "int32"), constant("b", np.array(1, np.int32))])
    found = reference(graph, [np.array([2**31 - 1, -(2**31), -1, 0], np.int32)])[0]
    np.testing.assert_array_equal(found, np.array([-(2**31), -(2**31) + 1, 0, 1], np.int32))


def test_shapes_that_do_not_broadcast_are_named():
    graph = node_graph(Add(), [activation("left", (1, 3), "float32"), activation("right", (1, 4), "float32")],
                       unchecked_out((1, 4), "float32"))  # fmt: skip
    with pytest.raises(BadInput, match=r"\[1, 3\] of 'left' and \[1, 4\] of 'right' do not broadcast"):
        ops.check(graph)


def test_a_nest_deeper_than_five_loops_is_refused():
    x = [activation("a", (2, 1, 2, 1, 2, 1), "float32"), activation("b", (1, 2, 1, 2, 1, 2), "float32")]
    graph = node_graph(Add(), x, unchecked_out((2,) * 6, "float32"))
    with pytest.raises(Unsupported, match="more than 5 nested loops"):
        ops.check(graph)


def test_five_dimensions_are_not():
    x = [activation("a", (2, 3, 2, 2, 2), "float32"), activation("b", (1, 3, 1, 2, 2), "float32")]
    check_operator(single(Add(), x), oracle=False)


@pytest.mark.parametrize(("act", "a", "b", "out", "error", "message"), [
    ("none", ("int8", None), ("int8", ONE), ("int8", ONE), BadInput, "no quantization parameters"),
    ("none", ("int8", TWO), ("int8", ONE), ("int8", ONE), Unsupported, "'a' is quantized per channel"),
    ("none", ("int8", ONE), ("int8", ONE), ("int8", quant(1e-6)), Unsupported, "takes less than 1"),
    ("relu", ("int32", None), ("int32", None), ("int32", None), Unsupported, "int32 with the fused activation relu"),
    ("none", ("bool", None), ("bool", None), ("bool", None), Unsupported, "supported: int8,int8→int8"),
])  # fmt: skip
def test_what_has_no_meaning_is_refused_with_a_reason(act, a, b, out, error, message):
    graph = node_graph(Add(act), [activation("a", (2,), *a), activation("b", (2,), *b)], unchecked_out((2,), *out))
    with pytest.raises(error, match=message):
        ops.check(graph)


def test_reading_undoes_writing():
    graph = meeting(Add("relu6"), (1, 3, 4, 5), (5,), "b", "int8")
    (codec,) = ops.operator(graph.nodes[0]).codecs
    assert codec.write is not None
    written = codec.write(graph.nodes[0], graph)
    assert written is not None
    parsed = codec.read(Source("add_0", "ADD", written.options, graph.ins(graph.nodes[0]), (graph.tensors["out"],)))
    assert replace(graph.nodes[0], attrs=parsed.attrs, inputs=tuple(t.name for t in parsed.inputs)) == graph.nodes[0]
