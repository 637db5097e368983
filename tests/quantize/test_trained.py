"""Models trained with fake quantization: pairs of QUANTIZE and DEQUANTIZE keep their ranges as int8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.quantize.nets import data_for, images, residual
from tests.support import same, tflm
from tinycomp.frontend import computes_in_float
from tinycomp.interpret import run
from tinycomp.ir import DType, Edit, Graph, Node, Quant, Tensor, apply
from tinycomp.ops.dequantize import Dequantize
from tinycomp.ops.fake_quant import FakeQuant
from tinycomp.ops.fully_connected import FullyConnected
from tinycomp.ops.quantize import Quantize
from tinycomp.quantize import weights
from tinycomp.quantize.convert import convert
from tinycomp.quantize.to_int8 import as_inputs
from tinycomp.quantize.trained import without_pairs
from tinycomp.tflite import reader, writer

ZERO = {"int8": 3, "uint8": 131}


def paired(graph: Graph, name: str, scale: float, dtype: DType) -> Graph:
    """The graph with a pair behind the tensor, which all its readers read; as an output it stays one."""
    held, back = f"{name}_q", f"{name}_dq"
    tensors = {
        **graph.tensors,
        held: replace(graph.tensors[name], name=held, dtype=dtype, quant=Quant((scale,), (ZERO[dtype],))),
        back: replace(graph.tensors[name], name=back),
    }
    pair = [
        Node(f"{name}_quantize", Quantize(), (name,), (held,)),
        Node(f"{name}_back", Dequantize(), (held,), (back,)),
    ]
    nodes = [replace(n, inputs=tuple(back if i == name else i for i in n.inputs)) for n in graph.nodes]
    at = next((k + 1 for k, n in enumerate(graph.nodes) if name in n.outputs), 0)
    outputs = tuple(back if n == name else n for n in graph.outputs)
    return replace(graph, tensors=tensors, nodes=(*nodes[:at], *pair, *nodes[at:]), outputs=outputs)


def faked(graph: Graph, name: str, scale: float) -> Graph:
    """The graph with a FAKE_QUANT where `paired` has a pair, to the steps of uint8 with the zero point 131."""
    made = paired(graph, name, scale, "uint8")
    pair = [n for n in made.nodes if n.name in (f"{name}_quantize", f"{name}_back")]
    held = made.tensors[f"{name}_q"]
    low = -held.zero_point * held.scale
    one = Node(f"{name}_fake", FakeQuant(low, low + 255 * held.scale), pair[0].inputs, pair[1].outputs)
    return apply(made, Edit(remove=tuple(pair), insert=(one,)))


def trained(dtype: DType | None = "int8") -> tuple[Graph, dict[str, float]]:
    """A network with pairs behind its input, each layer and its output, and the scales by the names that stay."""
    graph = residual(softmax=False)
    names = [*graph.inputs, *(n.outputs[0] for n in graph.nodes if n.op not in ("average_pool2d", "reshape"))]
    scales = {name: 0.01 + 0.003 * k for k, name in enumerate(names)}
    last = graph.outputs[0]
    for name, scale in scales.items():
        graph = paired(graph, name, scale, dtype) if dtype else faked(graph, name, scale)
    return graph, {f"{name}_dq" if name == last else name: scale for name, scale in scales.items()}


@pytest.mark.parametrize("dtype", ["int8", "uint8", None])
def test_every_range_is_kept_exactly_and_nothing_else_is_tried(dtype):
    graph, scales = trained(dtype)
    made = convert(graph, data_for(graph))
    rel = 0.0 if dtype else 1e-6  # FAKE_QUANT states the ends of the range, which float32 rounds
    kept = {name: made.graph.tensors[name].quant for name in scales}
    assert {name: q and (pytest.approx(q.scale[0], rel, abs=0), q.zero_point) for name, q in kept.items()} == {
        name: (scale, (3,)) for name, scale in scales.items()
    }
    assert made.bought == ()
    assert (made.graph.inputs, made.graph.outputs) == (graph.inputs, graph.outputs)
    assert {t.dtype for t in made.graph.tensors.values()} == {"int8", "int32"}


def test_the_integers_are_near_what_the_trained_graph_rounds_to():
    graph, scales = trained()
    made = convert(graph, data_for(graph)).graph
    x = images(8, 5)
    wanted = np.concatenate([run(graph, [case[None]])[graph.outputs[0]] for case in x])
    found = np.concatenate([run(made, as_inputs(made, [case[None]]))[graph.outputs[0]] for case in x])
    real = (found.astype(np.float64) - 3) * scales[graph.outputs[0]]
    assert np.abs(real - wanted).max() <= 3 * scales[graph.outputs[0]]


def test_the_file_has_equal_bits_in_tflm():
    graph, _ = trained("uint8")
    content = writer.write(convert(graph, data_for(graph)).graph)
    made = reader.read(content)
    cases = [as_inputs(made, [case[None]]) for case in images(3, 5)]
    for k, answer in enumerate(tflm(content, cases)):
        same(answer, [run(made, cases[k])[made.outputs[0]]], f"case {k}")


def converters(name: str) -> Graph:
    """A network with fake quantization as TensorFlow's converter writes it; see trained/make.py."""
    return reader.load(Path(__file__).with_name("trained") / f"{name}.tflite")


def test_tensorflows_converter_makes_the_same_integers_of_a_trained_network():
    graph, wanted = converters("float"), converters("int8")
    made = convert(graph, data_for(graph)).graph
    assert [n.op for n in made.nodes] == [n.op for n in wanted.nodes]
    for ours, theirs in zip(made.nodes, wanted.nodes, strict=True):
        assert made.out(ours).quant == wanted.out(theirs).quant
        for t, u in zip(made.ins(ours), wanted.ins(theirs), strict=True):
            same([t.data] if t.data is not None else [], [u.data] if u.data is not None else [], t.name)
    for x in images(20, 5, 2):
        args = as_inputs(made, [x[None]])
        same(list(run(made, args).values()), list(run(wanted, args).values()), "answer")


@pytest.mark.parametrize(("factor", "warned"), [(1.0, False), (255.0, True), (1 / 255, True)])
def test_data_in_other_units_than_those_of_training_is_warned_of(factor, warned):
    graph = converters("float")
    given = data_for(graph)
    scaled = replace(given, inputs=tuple((x * np.float32(factor)).astype(np.float32) for x in given.inputs))
    found = [w for w in convert(graph, scaled).warnings if "trained for -3.012 to 2.988" in w]
    assert bool(found) == warned


def test_a_file_may_leave_the_shape_of_a_result_open():
    graph = converters("float")  # the converter does not say what shape the dense layer's rounded weights have
    dense = next(n for n in graph.nodes if n.op == "fully_connected")
    assert graph.tensors[dense.inputs[1]].shape == (5, 4)


def test_a_graph_without_pairs_stays_and_one_with_them_computes_in_float():
    plain, (graph, _) = residual(), trained()
    assert without_pairs(plain) == (plain, {})
    assert computes_in_float(plain)
    assert computes_in_float(graph)


def test_integers_that_somebody_else_reads_are_no_pair():
    graph, _ = trained()
    held = next(n.outputs[0] for n in graph.nodes if n.op == "quantize")
    more = replace(graph, outputs=(*graph.outputs, held))
    assert any(n.op == "quantize" for n in without_pairs(more).graph.nodes)


def test_constants_are_quantized_per_channel_and_back_when_a_file_is_read():
    w = np.random.default_rng(0).normal(0, 1, (4, 5)).astype(np.float32)
    quant = Quant((0.1, 0.2, 0.3, 0.4), (128,) * 4, 0)
    node = Node("q", Quantize(), ("w",), ("out",))
    tensors = {"w": Tensor("w", (4, 5), "float32", None, w), "out": Tensor("out", (4, 5), "uint8", quant)}
    found = run(Graph("g", tensors, (node,), (), ("out",)), [])["out"]
    wanted = np.clip(np.round(w / np.array(quant.scale, np.float32)[:, None]) + 128, 0, 255)
    np.testing.assert_array_equal(found, wanted)


def test_chains_of_pairs_are_taken_out_and_both_ends_keep_their_names():
    ends = [Tensor(f"t{k}", (1, 4), "float32") for k in range(4)]
    held = [Tensor(f"q{k}", (1, 4), "int8", Quant((0.1 + k,), (k,))) for k in range(3)]
    first = [Node(f"quantize_{k}", Quantize(), (f"t{k}",), (f"q{k}",)) for k in range(3)]
    second = [Node(f"back_{k}", Dequantize(), (f"q{k}",), (f"t{k + 1}",)) for k in range(3)]
    nodes = [node for pair in zip(first, second, strict=True) for node in pair]
    graph = Graph("g", {t.name: t for t in (*ends, *held)}, tuple(nodes), ("t0",), ("t3",))
    found = without_pairs(graph)
    assert [n.name for n in found.graph.nodes] == ["quantize_2", "back_2"]
    assert (found.graph.inputs, found.graph.outputs) == (("t0",), ("t3",))
    assert found.quants == {"t0": Quant((0.1,), (0,))}


def test_one_scale_for_dense_weights_is_not_many_because_training_had_many():
    quant = Quant((0.013, 0.02), (0, 0))
    w = Tensor("w", (2, 2), "float32", quant, np.float32([[0.013, 0.13], [0.02, -0.2]]))
    b = Tensor("b", (2,), "float32", None, np.zeros(2, np.float32))
    ends = (Tensor(name, (1, 2), "float32") for name in ("x", "y"))
    node = Node("dense", FullyConnected(), ("x", "w", "b"), ("y",))
    found = weights.layer_of(node, Graph("g", {t.name: t for t in (*ends, w, b)}, (node,), ("x",), ("y",)))
    assert weights.scales(found, 0.05, 0.1).tolist() == [0.013, 0.02]
    assert np.ptp(weights.scales(found, 0.05, 0.1, per_channel=False)) == 0
