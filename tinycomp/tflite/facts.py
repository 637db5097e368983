"""What a model file holds, supported or not: the facts behind `tinycomp inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tinycomp.errors import TinycompError, Unsupported
from tinycomp.ir import Graph
from tinycomp.ops import custom
from tinycomp.tflite import unsigned
from tinycomp.tflite.file import File, FileOperator, FileQuant, FileTensor

_CONTROL_FLOW = ("it calls another subgraph", "export the model without control flow (unroll loops, freeze branches)")
_REASONS: Mapping[str, tuple[str, str]] = {
    "IF": _CONTROL_FLOW, "WHILE": _CONTROL_FLOW, "CALL": _CONTROL_FLOW,
    "CUSTOM": ("its code is not in the file", "express it with builtin operators"),
    "DENSIFY": ("its weights are stored sparse", "export the model with dense weights"),
}  # fmt: skip


@dataclass(frozen=True)
class TensorFacts:
    """A tensor of the file. dtype is the file's, so it may be one that the IR does not have."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quant: FileQuant | None
    constant: bool


@dataclass(frozen=True)
class OperatorFacts:
    """An operator of the file. `name` is its node's; builtin is TFLite's name, or the custom operator's.

    status: kept as a node, folded into a constant while reading, or refused (`problem` says why; it is empty where an
    earlier operator's problem is the cause). inputs: None where an optional one is left out.
    """

    index: int
    name: str
    builtin: str
    version: int
    inputs: tuple[TensorFacts | None, ...]
    outputs: tuple[TensorFacts, ...]
    status: Literal["kept", "folded", "refused"]
    problem: str = ""


@dataclass(frozen=True)
class Survey:
    """A file's contents. `graph` is the model where nothing stands in its way, else None.

    notes: what a reader of the report should know and nothing forbids, a batch pinned to 1 for instance.
    """

    name: str
    description: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    operators: tuple[OperatorFacts, ...]
    problems: tuple[TinycompError, ...]
    notes: tuple[str, ...]
    graph: Graph | None


def tensor_facts(t: FileTensor) -> TensorFacts:
    """What is worth telling of a file's tensor."""
    return TensorFacts(t.name, t.shape, t.dtype, t.quant, t.data is not None)


def notes(file: File) -> tuple[str, ...]:
    """Pinned dimensions of inputs, subgraphs that nothing in the main one reaches, arithmetic in uint8."""
    found: list[str] = []
    for t in (file.tensors[i] for i in dict.fromkeys(file.inputs)):
        if any(d < 0 for d in t.signature) and len(t.signature) == len(t.shape):
            found.append(f"input {t.name!r} is {list(t.signature)} in the file and pinned to {list(t.shape)}")
    if file.subgraphs > 1:
        found.append(f"{file.subgraphs - 1} more subgraphs are not part of the main one and left out")
    if unsigned.computes(file):
        found.append("computes in uint8: read as int8, with the bits of LiteRT's reference kernels, since TensorFlow "
                     "Lite Micro has none for uint8")  # fmt: skip
    return tuple(found)


def missing(file: File, op: FileOperator) -> Unsupported:
    """That there is no such operator here, why, and what to do about it."""
    outputs = ", ".join(repr(file.tensors[i].name) for i in op.outputs[:3])
    reason, fix = _REASONS.get(op.builtin, ("", "use another layer"))
    if op.builtin == "CUSTOM" and custom.NAME.fullmatch(op.custom):
        fix += f", or give its code with `tinycomp build {custom.OPTION} {op.custom}=FILE{custom.TEMPLATE}`"
    return Unsupported(f"is not supported{f': {reason}' if reason else ''} (it makes {outputs})", where=op.label,
                       fix=f"{fix}; supported operators: `tinycomp ops`")  # fmt: skip
