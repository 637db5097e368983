"""What a model file holds and whether it can be compiled: the facts behind `tinycomp inspect`."""

from __future__ import annotations

from typing import Any

from tinycomp import ops
from tinycomp.frontend import Model, named
from tinycomp.ir import Graph
from tinycomp.report.text import Section, number
from tinycomp.tflite import reader
from tinycomp.tflite.facts import OperatorFacts, TensorFacts


def collect(model: Model) -> dict[str, Any]:
    """The file as plain data; `problems` is empty where it can be compiled."""
    with named(model):
        found = reader.survey(model.data, model.name, model.custom)
    graph = found.graph
    costs = _costs(graph) if graph else {}
    return {
        "file": model.path.rsplit("/", 1)[-1], "bytes": len(model.data), "sha256": model.sha256,
        "description": found.description,
        "inputs": [_tensor(t) for t in found.inputs],
        "outputs": [_tensor(t) for t in found.outputs],
        "operators": [_operator(op, costs) for op in found.operators],
        "macs": sum(m for m, _ in costs.values()) if graph else None,
        "weights_bytes": sum(t.bytes for t in graph.tensors.values() if t.data is not None) if graph else None,
        "notes": list(found.notes),
        "problems": [str(p) for p in found.problems],
    }  # fmt: skip


def _costs(graph: Graph) -> dict[str, tuple[int, int]]:
    """For each node its multiply-accumulates and the bytes of its constants."""
    return {
        n.name: (ops.operator(n).macs(n, graph), sum(t.bytes for t in graph.ins(n) if t.data is not None))
        for n in graph.nodes
    }


def _tensor(t: TensorFacts) -> dict[str, Any]:
    q = t.quant
    return {"name": t.name, "shape": list(t.shape), "dtype": t.dtype,
            "scale": list(q.scale) if q else None, "zero_point": list(q.zero_point) if q else None}  # fmt: skip


def _operator(op: OperatorFacts, costs: dict[str, tuple[int, int]]) -> dict[str, Any]:
    macs, weights = costs.get(op.name, (None, None))
    return {"index": op.index, "name": op.name, "builtin": op.builtin, "version": op.version,
            "inputs": [None if t is None else _short(t) for t in op.inputs], "outputs": [_short(t) for t in op.outputs],
            "macs": macs, "constants_bytes": weights, "status": op.status, "problem": op.problem}  # fmt: skip


def _short(t: TensorFacts) -> dict[str, Any]:
    return {"name": t.name, "shape": list(t.shape), "dtype": t.dtype, "constant": t.constant}


def headline(facts: dict[str, Any]) -> str:
    """The answer in one line."""
    if facts["problems"]:
        return f"{facts['file']}: cannot be compiled, {len(facts['problems'])} problems"
    return (f"{facts['file']}: {len(facts['operators'])} operators, {number(facts['macs'])} multiply-accumulates, "
            f"{number(facts['weights_bytes'])} bytes of constants; can be compiled")  # fmt: skip


def sections(facts: dict[str, Any]) -> list[Section]:
    """Ports, operators, notes and problems."""
    ports = tuple(
        (kind, t["name"], t["dtype"], _shape(t) or "scalar", _numbers(t["scale"], "g"), _numbers(t["zero_point"], "d"))
        for kind, key in (("input", "inputs"), ("output", "outputs"))
        for t in facts[key]
    )
    operators = tuple(
        (str(op["index"]), op["builtin"], ", ".join(f"{t['dtype']} {_shape(t)}" for t in op["outputs"]),
         number(op["macs"]), number(op["constants_bytes"]), op["status"])
        for op in facts["operators"]
    )  # fmt: skip
    return [
        Section("Inputs and outputs", ("", "tensor", "dtype", "shape", "scale", "zero point"), "<<<<>>", ports),
        Section("Operators", ("#", "operator", "output", "MACs", "constants", "status"), "><<>><", operators),
        Section("Notes", notes=tuple(facts["notes"])),
        Section("Problems", notes=tuple(facts["problems"])),
    ]


def _shape(tensor: dict[str, Any]) -> str:
    return "×".join(map(str, tensor["shape"]))


def _numbers(values: list[float] | None, kind: str) -> str:
    if not values:
        return "–"
    return format(values[0], kind) if len(values) == 1 else f"{len(values)} per channel"
