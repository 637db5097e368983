"""Model file in, graph ready for lowering out: read, set the reference, run the exact passes, order the nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tinycomp import ops, rules, schedule
from tinycomp.errors import BadInput, TinycompError
from tinycomp.formats import files
from tinycomp.ir import Graph, Reference
from tinycomp.ops.custom import Definition
from tinycomp.quantize import data
from tinycomp.quantize.convert import Converted, Dense, Options, Report, convert, corrections_of
from tinycomp.quantize.files import Pixels
from tinycomp.quantize.mixed import Ceiling
from tinycomp.quantize.observe import Observer
from tinycomp.quantize.settled import convert_settled, settle
from tinycomp.quantize.to_int8 import Io
from tinycomp.quantize.trained import without_pairs
from tinycomp.rewrite import PassRecord
from tinycomp.target import parse_bytes, parse_share
from tinycomp.tflite import associated, reader, writer
from tinycomp.tflite.file import MODEL_FILE
from tinycomp.train.on_device import trainable

NAMED = 8  # tensors whose ranges are open, in a message


@dataclass(frozen=True)
class Model:
    """A model file's bytes. name: from the file name. sha256: of the bytes.

    origin: the file that the bytes were made from, None where they are that file. custom: what its custom operators
    mean.
    """

    path: str
    data: bytes
    origin: bytes | None = None
    custom: tuple[Definition, ...] = ()

    @property
    def name(self) -> str:
        """The file's stem."""
        return Path(self.path).stem

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    def labels(self, elements: int) -> tuple[str, ...]:
        """The labels of an output's elements, () where none are packed with the file."""
        return associated.labels(self.data if self.origin is None else self.origin, elements)

    def become(self, graph: Graph) -> Model:
        """The file that the model turns into with another graph; the labels and custom operators of its own stay."""
        return replace(self, data=writer.write(graph), origin=self.origin or self.data)


@dataclass(frozen=True)
class Front:
    """What the passes made of a model. source: as read. graph: after the passes, in execution order."""

    source: Graph
    graph: Graph
    passes: tuple[PassRecord, ...]


def load(path: str | Path, custom: tuple[Definition, ...] = ()) -> Model:
    """Read a .tflite file, or convert one of another format (`formats.files.contents`, which says what it raises)."""
    return Model(str(path), files.contents(path), custom=custom)


@contextmanager
def named(model: Model) -> Generator[None]:
    """Errors about the file as a whole carry its path."""
    try:
        yield
    except TinycompError as error:
        if error.where != MODEL_FILE:
            raise
        raise type(error)(error.what, where=model.path, fix=error.fix) from None


def front(model: Model, reference: Reference = "tflm", head: bool = False) -> Front:
    """The model's graph before and after the exact passes. head: its last layer learns (`train.on_device`).

    Raises BadInput, Unsupported.
    """
    with named(model):
        source = reader.read(model.data, model.name, model.custom)
    if source.reference == "tflm":  # a file that says litert leaves no choice
        source = replace(source, reference=reference)
    if not source.inputs:
        raise BadInput("has no inputs, so that its outputs are constants and nothing is left to run", where="the model",
                       fix="export it with its input layer")  # fmt: skip
    if head:
        source = trainable(source)
    folded, float_passes = rules.fold_float(source)
    graph, passes = rules.optimise(folded)
    return Front(source, scheduled(graph), (*float_passes, *passes))


Kind = Literal["auto", "int8", "int16x8", "mixed", "none"]


@dataclass(frozen=True)
class Request:
    """What the user wants of a model's numbers.

    kind: "auto" quantizes a float32 model to int8, "int16x8" to int16 activations and int8 weights, "mixed" to int8
    with int4 weights in as many layers as the options' ceiling asks for; "none" takes it as it is. data: calibration
    data. pixels: see `data.load`.
    """

    kind: Kind = "auto"
    data: Path | None = None
    pixels: Pixels | None = None
    options: Options = field(default_factory=Options)


def quantize_request(data: Path | None, kind: Kind, pixels: Pixels | None, io: Io | None, observer: Observer | None,
                     correct: str | None, dense: Dense, weights: str | None = None) -> Request:  # fmt: skip
    """The request of `tinycomp quantize`.

    data: None for a model that was trained for int8. correct: names of corrections, None for those that help. weights:
    see `ceiling_of`, for "mixed". Raises BadInput.
    """
    if (kind == "mixed") != (weights is not None):
        what = "mixed precision needs to know how small" if weights is None else "is for mixed precision only"
        raise BadInput(what, where="--weights", fix="give --to mixed --weights 55% (of int8) or --weights 20K")
    chosen = Options(io=io, observer=observer, dense=dense, ceiling=None if weights is None else ceiling_of(weights))
    if correct is not None:
        chosen = replace(chosen, corrections=corrections_of(correct), always=True)
    return Request(kind, data, pixels, chosen)


def ceiling_of(text: str) -> Ceiling:
    """`55%` of the bytes of all weights as int8, or bytes: `20480`, `20K`. Raises BadInput."""
    if text.strip().endswith("%"):
        return Ceiling(share=parse_share(text, "--weights"))
    return Ceiling(bytes=parse_bytes(text))


def quantized(
    model: Model, request: Request, report: Report = lambda what, share: None
) -> tuple[Model, Converted | None]:
    """The model with its float32 graph as integers where that is wanted, and what that costs in accuracy.

    A model that computes in integers is handed on as it is. Raises BadInput where a float32 model comes without data
    and was not trained for int8, the data is bad, or a model of integers is to have others; DoesNotFit where no
    precision gets its weights below a ceiling.
    """
    if request.kind == "none":
        return model, None
    source = float_source(model)
    if source is None:
        if request.kind in ("int16x8", "mixed"):
            raise BadInput(f"{request.kind} is made of a float32 model, and {model.path} computes in integers already",
                           where="--quantize", fix="give the float32 model, or build this one as it is")  # fmt: skip
        return model, None
    options = replace(request.options, precision="int16") if request.kind == "int16x8" else request.options
    if request.data is None:
        made = _without_data(model, source, request)
    else:
        made = convert(source, data.load(request.data, source, request.pixels), options, report)
    return model.become(made.graph), made


def _without_data(model: Model, source: Graph, request: Request) -> Converted:
    """int8 by the ranges that the model was trained with. Raises BadInput where these do not suffice."""
    found = settle(source)
    if found.quants and not found.open and request.kind in ("auto", "int8"):
        return convert_settled(found, request.options)
    left = ""
    if found.quants and found.open:
        more = len(found.open) - NAMED
        left = (f": its training left the ranges of {', '.join(found.open[:NAMED])}"
                f"{f' and {more} more tensors' if more > 0 else ''} open")  # fmt: skip
    raise BadInput(f"the model is float32, and quantizing it needs calibration data{left}", where=model.path,
                   fix="give --data FILE (an .npz with x, an .npy, or a folder; 100 to 500 typical inputs), or build "
                   "with --quantize none for float32 C")  # fmt: skip


def float_source(model: Model) -> Graph | None:
    """The model's graph where it computes in float32, else None. Raises BadInput, Unsupported."""
    with named(model):
        source = reader.read(model.data, model.name, model.custom)
    return source if computes_in_float(source) else None


def computes_in_float(graph: Graph) -> bool:
    """No tensor is quantized but for ranges that the model was trained with, and something is computed in float32."""
    graph = without_pairs(graph).graph
    kinds = {graph.tensors[name].dtype for node in graph.nodes for name in node.outputs}
    return "float32" in kinds and not kinds & {"int8", "uint8", "int16", "int4"}


def scheduled(graph: Graph) -> Graph:
    """The graph with its nodes in the order of least peak memory; views cost nothing."""
    views = {node.outputs[0] for node in graph.nodes if ops.operator(node).view}
    free = views | {name for name, t in graph.tensors.items() if t.data is not None}
    return schedule.order(graph, lambda name: 0 if name in free else graph.tensors[name].bytes)


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference."""
    return sum(ops.operator(node).macs(node, graph) for node in graph.nodes)
