"""Inputs for running a model: from .npy and .npz files, or random ones with the extremes among them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import NUMPY, Array, Graph

Case = list[Array]


def random_cases(graph: Graph, count: int, seed: int = 0) -> list[Case]:
    """Random inputs; the first cases are all zero, all minimum and all maximum."""
    rng = np.random.default_rng(seed)
    return [
        [_random(rng, graph.tensors[name].shape, graph.tensors[name].dtype, k) for name in graph.inputs]
        for k in range(count)
    ]


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, case: int) -> Array:
    if dtype == "float32":
        fixed = {0: 0.0, 1: -1.0, 2: 1.0}.get(case)
        return np.full(shape, fixed, np.float32) if fixed is not None else rng.uniform(-1, 1, shape).astype(np.float32)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    info = np.iinfo(np.dtype(NUMPY[dtype]).name)
    low, high = (int(info.min), int(info.max)) if info.bits <= 16 else (0, 7)
    if case < 3:
        return np.full(shape, (0, low, high)[case], NUMPY[dtype])
    return rng.integers(low, high + 1, shape).astype(NUMPY[dtype])


def load_cases(path: Path, graph: Graph) -> list[Case]:
    """Cases from a file: .npy for a model with one input, .npz with one array for each input.

    Arrays of an .npz are found by the input's name, else by `input0`, `input1`, …, else `x` for a single input. An
    array has the input's shape, or one more axis in front that counts cases. Raises BadInput.
    """
    arrays = _arrays(path, graph)
    split = [_cases_of(a, name, graph, path) for name, a in zip(graph.inputs, arrays, strict=True)]
    counts = {len(s) for s in split}
    if len(counts) != 1:
        raise BadInput(f"the inputs hold different numbers of cases: {sorted(counts)}", where=str(path))
    return [list(case) for case in zip(*split, strict=True)]


def _arrays(path: Path, graph: Graph) -> list[Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise BadInput("does not exist", where=str(path), fix="give an .npy or .npz file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"is not a numpy file: {error}", where=str(path), fix="save it with numpy.save or numpy.savez"
        ) from None
    if isinstance(loaded, np.ndarray):
        if len(graph.inputs) != 1:
            raise BadInput(f"holds one array, the model has {len(graph.inputs)} inputs: {', '.join(graph.inputs)}",
                           where=str(path), fix="give an .npz with an array for each")  # fmt: skip
        return [loaded]
    found: list[Array] = []
    for i, name in enumerate(graph.inputs):
        keys = [name, f"input{i}", *(["x"] if len(graph.inputs) == 1 else [])]
        key = next((k for k in keys if k in loaded.files), None)
        if key is None:
            raise BadInput(f"has no array for input {i}, {name!r}; it holds {', '.join(loaded.files) or 'nothing'}",
                           where=str(path), fix=f"name the array {keys[1]}")  # fmt: skip
        found.append(np.asarray(loaded[key]))
    return found


def _cases_of(array: Array, name: str, graph: Graph, path: Path) -> Sequence[Array]:
    t = graph.tensors[name]
    where = f"{path}, input {name!r}"
    if array.dtype != NUMPY[t.dtype]:
        floats = array.dtype.kind == "f"
        fix = "quantize the values with the input's scale and zero point" if floats else "convert it"
        raise BadInput(f"is {array.dtype}, the model takes {t.dtype}", where=where, fix=fix)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput("holds NaN or infinity", where=where)
    if array.shape == t.shape:
        return [array]
    if array.shape[1:] == t.shape:
        return list(array)
    if t.shape[:1] == (1,) and array.shape[1:] == t.shape[1:]:
        return [row[None] for row in array]
    raise BadInput(f"has shape {list(array.shape)}, expected {list(t.shape)} or cases of it", where=where)
