"""RANGE: start, start + delta, … before limit. Its arguments must be constants, so the reader folds it.

Source: tensorflow/lite/kernels/range.cc. TensorFlow Lite Micro has no such kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import NUMPY, Array, Attrs, DType, Graph, Node
from tinycomp.ops.base import Codec, Operator, Parsed, Shape, Source, Written


@dataclass(frozen=True)
class Range(Attrs):
    """A node without inputs: its value is known before anything runs. Floats hold float32 values."""

    op: ClassVar[str] = "range"
    start: float = 0
    limit: float = 0
    delta: float = 1
    dtype: DType = "int32"

    @property
    def elements(self) -> int:
        """How many values lie before the limit. delta must not be 0."""
        if self.dtype != "float32":
            return max(0, -((int(self.start) - int(self.limit)) // int(self.delta)))
        with np.errstate(over="ignore"):
            steps = float((np.float32(self.limit) - np.float32(self.start)) / np.float32(self.delta))
        return math.ceil(min(max(0.0, steps), 2.0**62))


def attrs(node: Node) -> Range:
    """The node's attributes, typed."""
    return cast(Range, node.attrs)


def _read(source: Source) -> Parsed:
    found = [source.constant(i, what, integral=False) for i, what in enumerate(("the start", "the limit", "the delta"))]
    where, dtype = f"{source.name} ({source.builtin})", source.input(0).dtype
    if any(a.size != 1 or source.input(i).dtype != dtype for i, a in enumerate(found)):
        raise BadInput("start, limit and delta must be scalars of one dtype", where=where, fix="export the model again")
    start, limit, delta = (a.reshape(-1)[0].item() for a in found)
    return Parsed(Range(start, limit, delta, dtype), ())


def _write(node: Node, graph: Graph) -> Written:
    a = attrs(node)
    return Written({}, tuple(np.array(v, NUMPY[a.dtype]) for v in (a.start, a.limit, a.delta)))


def _infer(node: Node, graph: Graph) -> tuple[tuple[Shape, DType], ...]:
    a, where = attrs(node), f"{node.name} (range)"
    finite = all(math.isfinite(v) for v in (a.start, a.limit, a.delta))
    if a.dtype not in ("int32", "int64", "float32") or not finite or a.delta == 0:
        raise BadInput(f"{a.dtype} from {a.start} to {a.limit} by {a.delta}; expected finite int32, int64 or float32 "
                       "values and a delta other than 0", where=where, fix="export the model again")  # fmt: skip
    return (((a.elements,), a.dtype),)


def _reference(node: Node, graph: Graph, args: Sequence[Array]) -> tuple[Array, ...]:
    """Float values are summed up in float32, one delta after the other, as the source does."""
    a = attrs(node)
    if a.dtype != "float32":
        return ((np.arange(a.elements, dtype=np.int64) * int(a.delta) + int(a.start)).astype(NUMPY[a.dtype]),)
    steps = np.full(a.elements, a.delta, np.float32)
    steps[:1] = a.start
    return (np.cumsum(steps, dtype=np.float32),)


OPERATOR = Operator(
    attrs=Range,
    codecs=(Codec("RANGE", "RangeOptions", _read, _write),),
    infer=_infer,
    reference=_reference,
)
