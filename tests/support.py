"""What tests share: graphs in a few lines, the two oracles, emitted C run natively."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinycomp import interpret, ops
from tinycomp.emit.library import Identity, library
from tinycomp.harness import native
from tinycomp.ir import Array, Attrs, DType, Graph, Node, Quant, Reference, Tensor
from tinycomp.kernel import choices
from tinycomp.lower import lower
from tinycomp.program import Program, Recipe

SHARED = Path(__file__).resolve().parents[2] / "shared"

needs_shared = pytest.mark.skipif(
    not (SHARED / "models").is_dir(), reason="reference models (../shared/models) are not here"
)
needs_cc = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


def quant(scale: float, zero_point: int = 0) -> Quant:
    """Per-tensor quantization, the scale rounded to float32 as in a file."""
    return Quant((float(np.float32(scale)),), (zero_point,))


def per_channel(scales: Sequence[float], axis: int = 0) -> Quant:
    """Symmetric per-channel quantization."""
    return Quant(tuple(float(np.float32(s)) for s in scales), (0,) * len(scales), axis)


def activation(name: str, shape: Sequence[int], dtype: DType = "int8", q: Quant | None = None) -> Tensor:
    """A tensor that is computed or given at run time."""
    return Tensor(name, tuple(shape), dtype, q)


def constant(name: str, data: Array, q: Quant | None = None) -> Tensor:
    """A tensor fixed in the model."""
    dtype: DType = data.dtype.name  # type: ignore[assignment]
    return Tensor(name, data.shape, dtype, q, data)


def single(attrs: Attrs, inputs: Sequence[Tensor], out: Tensor | None = None, out_quant: Quant | None = None) -> Graph:
    """A checked graph of one node, whose non-constant inputs are the graph's. The output's shape is inferred."""
    node = Node(f"{attrs.op}_0", attrs, tuple(t.name for t in inputs), ("out",))
    tensors = {t.name: t for t in inputs}
    if out is None:
        probe = Graph("probe", {**tensors, "out": Tensor("out", (1,), inputs[0].dtype, out_quant)}, (node,), (), ())
        ((shape, dtype),) = ops.operator(node).infer(node, probe)
        out = Tensor("out", shape, dtype, out_quant)
    given = tuple(dict.fromkeys(t.name for t in inputs if t.data is None))
    graph = Graph("single", {**tensors, "out": replace(out, name="out")}, (node,), given, ("out",))
    ops.check(graph)
    return graph


def random_inputs(graph: Graph, seed: int = 0, cases: int = 4) -> list[list[Array]]:
    """Random inputs of the graph's shapes; case 0 is all minimum, case 1 all maximum."""
    rng, made = np.random.default_rng(seed), []
    for case in range(cases):
        row: list[Array] = []
        for name in graph.inputs:
            t = graph.tensors[name]
            if t.dtype == "float32":
                row.append(rng.normal(0, 2, t.shape).astype(np.float32))
                continue
            if t.dtype == "bool":
                row.append(np.full(t.shape, case == 1) if case < 2 else rng.integers(0, 2, t.shape).astype(bool))
                continue
            info = np.iinfo(t.dtype)
            x = rng.integers(info.min, info.max + 1, t.shape)
            row.append(np.full(t.shape, (info.min, info.max)[case], t.dtype) if case < 2 else x.astype(t.dtype))
        made.append(row)
    return made


def tflm(
    model: bytes, cases: Sequence[Sequence[Array]], outputs: int = 1, *, stream: bool = False
) -> list[list[Array]]:
    """What the TensorFlow Lite Micro interpreter answers; variables go on from case to case where they are a stream."""
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime", reason="pip install tflite-micro")
    it = runtime.Interpreter.from_bytes(model, arena_size=8 << 20)
    found: list[list[Array]] = []
    for k, case in enumerate(cases):
        if not (stream and k):
            it.reset()
        for i, x in enumerate(case):
            it.set_input(x, i)
        it.invoke()
        found.append([np.array(it.get_output(i)) for i in range(outputs)])
    return found


def litert(model: bytes, cases: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """What LiteRT's reference kernels answer, without a delegate and without their optimised forms."""
    package = pytest.importorskip("ai_edge_litert.interpreter", reason="pip install ai-edge-litert")
    resolver = package.OpResolverType.BUILTIN_REF
    it = package.Interpreter(model_content=model, experimental_op_resolver_type=resolver)
    it.allocate_tensors()
    inputs, outputs = ([d["index"] for d in ends] for ends in (it.get_input_details(), it.get_output_details()))
    found: list[list[Array]] = []
    for case in cases:
        for index, x in zip(inputs, case, strict=True):
            it.set_tensor(index, x)
        it.invoke()
        found.append([it.get_tensor(index) for index in outputs])
    return found


def emitted(graph: Graph, cases: Sequence[Sequence[Array]], recipe: Recipe | None = None,
            features: frozenset[str] = frozenset(), cc: str | None = None) -> list[list[Array]]:  # fmt: skip
    """What the emitted C answers natively, under sanitizers, all warnings being errors."""
    return run_program(lower(graph, recipe or Recipe(), features), cases, cc)


def run_program(
    program: Program, cases: Sequence[Sequence[Array]], cc: str | None = None, optimise: str = "-O0"
) -> list[list[Array]]:
    """Emit, compile and run a program."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        for file, text in library(program, Identity("net", "0" * 64)).items():
            (source / file).write_text(text)
        built = native.compile_library(source, "net", program.graph, source, optimise=optimise, cc=cc)
        return native.run(built, program.graph, cases)[0]


def same(found: Sequence[Array], wanted: Sequence[Array], label: str) -> None:
    """Integers equal, floats to 1e-5 of their size."""
    assert len(found) == len(wanted)
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert a.shape == b.shape, f"{label}: output {i} has shape {a.shape}, expected {b.shape}"
        assert a.dtype == b.dtype, f"{label}: output {i} is {a.dtype}, expected {b.dtype}"
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=f"{label}: output {i}")
        else:
            different = int((a != b).sum())
            worst = int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max(initial=0))
            assert different == 0, f"{label}: output {i}, {different} of {a.size} differ, by {worst} at most"


def reference(graph: Graph, case: Sequence[Array]) -> list[Array]:
    """What the interpreter of the IR answers."""
    values = interpret.run(graph, case)
    return [values[name] for name in graph.outputs]


def references(graph: Graph, cases: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """The same for one case after the other, each beginning with the states that the last one left."""
    return [[values[name] for name in graph.outputs] for values in interpret.sequence(graph, cases)]


def check_operator(
    graph: Graph, cases: Sequence[Sequence[Array]] | None = None, *, oracle: bool = True, by: Reference = "tflm"
) -> None:
    """The numpy reference equals TFLM, and the C of every kernel row that takes the node equals the reference.

    by: litert for what TensorFlow Lite Micro has no kernel for.
    """
    cases = random_inputs(graph) if cases is None else cases
    wanted = references(graph, cases)
    if oracle:
        from tinycomp.tflite import writer

        data = writer.write(graph)
        outputs, stream = len(graph.outputs), bool(graph.states)
        answers = tflm(data, cases, outputs, stream=stream) if by == "tflm" else litert(data, cases)
        for k, answer in enumerate(answers):
            same(
                wanted[k],
                [a.reshape(w.shape) for a, w in zip(answer, wanted[k], strict=True)],
                f"reference against {by}, case {k}",
            )
    for label, recipe in kernel_rows(graph):
        for k, answer in enumerate(emitted(graph, cases, recipe)):
            same(answer, wanted[k], f"C ({label}) against reference, case {k}")


def kernel_rows(graph: Graph) -> list[tuple[str, Recipe]]:
    """Builds in which every kernel row that takes a node, and that any core can run, has its turn; labelled.

    Build k pins each node to its k-th row, and to its last where it has fewer; a node that no row takes is left to
    `lower`, to refuse it.
    """
    rows = {n.name: [k.name for k in choices(ops.operator(n).kernels, n, graph, frozenset())] for n in graph.nodes}
    builds: list[tuple[str, Recipe]] = []
    for turn in range(max([1, *map(len, rows.values())])):
        pinned = {node: names[min(turn, len(names) - 1)] for node, names in rows.items() if names}
        builds.append((", ".join(dict.fromkeys(pinned.values())), Recipe(pinned=pinned)))
    return builds


def feed(graph: Graph, values: Mapping[str, Array]) -> list[Array]:
    """One case in the graph's input order."""
    return [values[name] for name in graph.inputs]
