"""Labels of calibration data: what they are, from their shape and the model's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Graph

Kind = Literal["class", "binary", "anomaly", "values"]


@dataclass(frozen=True, eq=False)
class Labels:
    """class: values [cases] index the output's last axis. binary: 0 or 1 for a model of one output. anomaly: 0 or 1,
    1 an anomaly, for a model that reconstructs its input. values: what the output should be, [cases, elements]."""

    kind: Kind
    values: Array


def checked_labels(given: Array, cases: int, graph: Graph, where: str) -> Labels:
    """The labels of `cases` inputs. Raises BadInput where they cannot belong to the model or to the data."""
    out, source = graph.tensors[graph.outputs[0]], graph.tensors[graph.inputs[0]]
    if given.dtype.kind not in "biuf" or given.ndim == 0:
        raise BadInput(f"is {given.dtype}{list(given.shape)}; expected one number for each case", where=where,
                       fix="give class numbers as integers")  # fmt: skip
    if len(given) != cases:
        raise BadInput(f"has {len(given)} labels, the data {cases} cases", where=where, fix="give one for each case")
    values = given.reshape(cases, -1)
    if given.dtype.kind == "f" and not np.isfinite(values).all():
        k = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise BadInput("is not finite", where=f"{where}, index {k}", fix="give a number for every case")
    classes = out.elements
    if values.shape[1] == 1:
        if out.shape == source.shape and classes > 1:
            return Labels("anomaly", _whole(values[:, 0], 2, where, "0 normal, 1 anomalous"))
        if classes > 1:
            return Labels("class", _whole(values[:, 0], classes, where, f"the model has {classes} classes"))
        if np.isin(values, (0, 1)).all():
            return Labels("binary", values[:, 0].astype(np.int64))
    if values.shape[1] == classes:
        if classes > 1 and (np.sort(values, axis=1)[:, :-1] == 0).all() and (values.max(axis=1) == 1).all():
            return Labels("class", values.argmax(axis=1))  # one-hot
        return Labels("values", values.astype(np.float64))
    raise BadInput(f"has {values.shape[1]} values for each case, the model's output {classes}", where=where,
                   fix=f"give class numbers, or {classes} values for each case")  # fmt: skip


def _whole(values: Array, limit: int, where: str, meaning: str) -> Array:
    """Whole numbers in [0, limit)."""
    numbers = values.astype(np.float64)
    wrong = np.flatnonzero((numbers != np.floor(numbers)) | (numbers < 0) | (numbers >= limit))
    if len(wrong):
        k = int(wrong[0])
        raise BadInput(f"label {values[k]} is not one of 0 … {limit - 1} ({meaning}); {len(wrong)} are like it",
                       where=f"{where}, index {k}", fix="number them from 0 in the order of the output")  # fmt: skip
    return numbers.astype(np.int64)
