"""Calibration data: real inputs of a float model, checked before anything is made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import NUMPY, Array, Graph, Quant, Tensor
from tinycomp.quantize import files
from tinycomp.quantize.files import Pixels, Raw
from tinycomp.quantize.labels import Labels, checked_labels

FEW = 50  # fewer cases say too little of the tails
OUTLIER = 50.0  # times the median case's largest magnitude


@dataclass(frozen=True, eq=False)
class Data:
    """Calibration cases.

    inputs: for each input of the graph an array [cases, *the input's shape]. quants: int8 parameters that hold the
    values exactly, where they were stored so. labels: None where the data has none. warnings: what looks odd and is
    not refused.
    """

    inputs: tuple[Array, ...]
    quants: tuple[Quant | None, ...]
    labels: Labels | None = None
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs[0])

    def part(self, index: Sequence[int]) -> Data:
        """The cases of those indices."""
        labels = replace(self.labels, values=self.labels.values[list(index)]) if self.labels else None
        return replace(self, inputs=tuple(x[list(index)] for x in self.inputs), labels=labels)

    def spread(self, most: int) -> Data:
        """At most so many cases, spread over all."""
        return self if len(self) <= most else self.part([k * len(self) // most for k in range(most)])


def load(path: str | Path, graph: Graph, pixels: Pixels | None = None) -> Data:
    """Calibration data from an .npz or .npy file, or a folder of .npy arrays or of images.

    pixels: the real values of black and white, for images and uint8 arrays. Raises BadInput naming the file, the index
    and what was expected; ToolMissing where images need Pillow.
    """
    return _checked(files.read(Path(path), graph, pixels), graph)


def from_cases(cases: Iterable[Array | Sequence[Array]], graph: Graph, labels: Sequence[int] | None = None) -> Data:
    """Calibration data from Python: for each case an array, or one for each input of the graph. Raises BadInput."""
    rows = [[np.asarray(a) for a in ([case] if isinstance(case, np.ndarray) else case)] for case in cases]
    for k, row in enumerate(rows):
        if len(row) != len(graph.inputs):
            raise BadInput(f"{len(row)} arrays, the model has {len(graph.inputs)} inputs", where=f"data, case {k}",
                           fix=f"give one for each of {', '.join(graph.inputs)}")  # fmt: skip
    if not rows:
        raise BadInput("holds no cases", where="data", fix="give 100 to 500 typical inputs")
    parts = [tuple(files.Part(f"data, case {k}", a, one=True) for k, a in enumerate(column))
             for column in zip(*rows, strict=True)]  # fmt: skip
    given = None if labels is None else np.asarray(labels)
    return _checked(Raw("data", tuple(parts), (None,) * len(graph.inputs), given), graph)


def _checked(raw: Raw, graph: Graph) -> Data:
    """The data as float32 arrays of the graph's shapes, or BadInput."""
    columns: list[Array] = []
    origins: list[list[tuple[str, int]]] = []
    for name, parts in zip(graph.inputs, raw.parts, strict=True):
        t = graph.tensors[name]
        pieces = [_cases(_reals(p.array, t, p.where), t, p.where, p.one) for p in parts]
        origins.append([(p.where, k) for p, piece in zip(parts, pieces, strict=True) for k in range(len(piece))])
        columns.append(np.concatenate(pieces) if pieces else np.zeros((0, *t.shape), NUMPY[t.dtype]))
        _check_values(columns[-1], name, origins[-1])
    counts = [len(c) for c in columns]
    if len(set(counts)) > 1:
        found = ", ".join(f"{n} of {name!r}" for n, name in zip(counts, graph.inputs, strict=True))
        raise BadInput(f"the inputs hold different numbers of cases: {found}", where=raw.where,
                       fix="give as many cases of each input")  # fmt: skip
    if counts[0] == 0:
        raise BadInput("holds no cases", where=raw.where, fix="give 100 to 500 typical inputs")
    labels = None if raw.labels is None else checked_labels(raw.labels, counts[0], graph, f"{raw.where}, y")
    odd = [w for c, o, n in zip(columns, origins, graph.inputs, strict=True) for w in _oddities(c, o, n)]
    few = [f"{counts[0]} cases are few; 100 to 500 typical inputs are better"] if counts[0] < FEW else []
    return Data(tuple(columns), raw.quants, labels, (*raw.warnings, *few, *odd))


def _reals(array: Array, t: Tensor, where: str) -> Array:
    """The array in the tensor's dtype, where that loses nothing that matters."""
    if array.dtype == NUMPY[t.dtype]:
        return array
    if t.dtype == "float32" and array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what overflows is found as infinite
            return array.astype(np.float32)
    if array.dtype.kind in "iu" and t.dtype in ("int32", "int64"):
        return array.astype(NUMPY[t.dtype])
    fix = "store real values as float32" if t.dtype == "float32" else f"convert it to {t.dtype}"
    if array.dtype == np.uint8:
        fix += ", or say with --pixels LOW:HIGH what 0 and 255 stand for"
    elif array.dtype.kind in "iu":
        fix += ", or add the arrays scale and zero_point to the .npz"
    raise BadInput(f"is {array.dtype}, the model takes {t.dtype}", where=where, fix=fix)


def _cases(array: Array, t: Tensor, where: str, one: bool) -> Array:
    """The array as [cases, *shape]. `one`: it may also be a single case."""
    inner = t.shape[1:] if t.shape[:1] == (1,) else t.shape
    shape = array.shape
    if shape[1:] == t.shape:
        return array
    if shape == t.shape and (one or t.shape[:1] == (1,)):
        return array[None]
    if len(inner) < len(t.shape) and shape[1:] == inner:
        return array[:, None]
    if one and shape == inner:
        return array.reshape(1, *t.shape)
    wanted = list(inner) if one and len(shape) <= len(inner) else ["cases", *inner]
    raise BadInput(f"has the shape {list(shape)}, expected [{', '.join(map(str, wanted))}]", where=where,
                   fix=_shape_fix(shape[len(wanted) - len(inner) :], inner))  # fmt: skip


def _shape_fix(found: Sequence[int], inner: Sequence[int]) -> str:
    """What is probably wrong with a case's shape."""
    if len(inner) == 3 and tuple(found) == (inner[2], *inner[:2]):
        return "channels come first (NCHW); move them to the end: numpy.moveaxis(x, -3, -1)"
    if (*found, 1) == tuple(inner):
        return "the last axis is missing: x[..., None]"
    if math.prod(found) == math.prod(inner):
        return f"the number of elements is right: x.reshape(-1, {', '.join(map(str, inner))})"
    return "prepare the data exactly as for inference"


def _check_values(values: Array, name: str, origins: Sequence[tuple[str, int]]) -> None:
    """Raise BadInput for NaN, infinity, and for data of one single value."""
    if values.dtype.kind != "f" or not len(values):
        return
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        k = int(np.flatnonzero(~finite)[0])
        bad = values[k].reshape(-1)
        what = "NaN" if np.isnan(bad).any() else "infinity"
        raise BadInput(f"holds {what} ({int((~np.isfinite(bad)).sum())} of {bad.size} values; {int((~finite).sum())} "
                       f"of {len(values)} cases are not finite)", where=_place(origins[k]),
                       fix="remove these cases or repair what computes them")  # fmt: skip
    if values.size > 1 and values.min() == values.max():
        raise BadInput(f"every value of the input {name!r} is {float(values.reshape(-1)[0]):g}", where=origins[0][0],
                       fix="give typical inputs; a constant says nothing about ranges")  # fmt: skip


def _oddities(values: Array, origins: Sequence[tuple[str, int]], name: str) -> list[str]:
    """What is not wrong in itself and probably a mistake."""
    if values.dtype.kind != "f" or len(values) < 2:
        return []
    rows = values.reshape(len(values), -1)
    found: list[str] = []
    if (rows == rows[:1]).all():
        found.append(f"all {len(rows)} cases of the input {name!r} are equal")
    still = np.flatnonzero(rows.min(axis=1) == rows.max(axis=1)) if rows.shape[1] > 1 else np.zeros(0, np.intp)
    if len(still) > len(rows) // 10:
        found.append(f"{len(still)} of {len(rows)} cases of the input {name!r} have one single value; the first is "
                     f"{_place(origins[int(still[0])])}")  # fmt: skip
    largest = np.abs(rows).max(axis=1)
    usual = float(np.median(largest))
    far = np.flatnonzero(largest > OUTLIER * usual) if usual > 0 else np.zeros(0, np.intp)
    if len(far):
        k = int(far[0])
        found.append(f"{_place(origins[k])} reaches {largest[k]:.4g}, the median case {usual:.4g}: {len(far)} cases "
                     "are in other units than the rest, and they alone set the range")  # fmt: skip
    return found


def _place(origin: tuple[str, int]) -> str:
    where, k = origin
    return where if ", case " in where else f"{where}, index {k}"
