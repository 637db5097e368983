"""Model file in, graph ready for lowering out: read, set the reference, run the exact passes, order the nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tinycomp import ops, rules, schedule
from tinycomp.errors import TinycompError
from tinycomp.ir import Graph, Reference
from tinycomp.rewrite import PassRecord
from tinycomp.tflite import reader
from tinycomp.tflite.file import MODEL_FILE


@dataclass(frozen=True)
class Model:
    """A model file's bytes. name: from the file name. sha256: of the bytes."""

    path: str
    data: bytes

    @property
    def name(self) -> str:
        """The file's stem."""
        return Path(self.path).stem

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Front:
    """What the passes made of a model. source: as read. graph: after the passes, in execution order."""

    source: Graph
    graph: Graph
    passes: tuple[PassRecord, ...]


def load(path: str | Path) -> Model:
    """Read a file. Raises BadInput where it is missing, a folder or not readable."""
    return Model(str(path), reader.contents(path))


@contextmanager
def named(model: Model) -> Generator[None]:
    """Errors about the file as a whole carry its path."""
    try:
        yield
    except TinycompError as error:
        if error.where != MODEL_FILE:
            raise
        raise type(error)(error.what, where=model.path, fix=error.fix) from None


def front(model: Model, reference: Reference = "tflm") -> Front:
    """The model's graph before and after the exact passes. Raises BadInput, Unsupported."""
    with named(model):
        source = replace(reader.read(model.data, model.name), reference=reference)
    folded, float_passes = rules.fold_float(source)
    graph, passes = rules.optimise(folded)
    return Front(source, scheduled(graph), (*float_passes, *passes))


def scheduled(graph: Graph) -> Graph:
    """The graph with its nodes in the order of least peak memory; views cost nothing."""
    views = {node.outputs[0] for node in graph.nodes if ops.operator(node).view}
    free = views | {name for name, t in graph.tensors.items() if t.data is not None}
    return schedule.order(graph, lambda name: 0 if name in free else graph.tensors[name].bytes)


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference."""
    return sum(ops.operator(node).macs(node, graph) for node in graph.nodes)
