"""Calibration data as it lies on disk: .npz, .npy, folders of arrays or of images."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from tinycomp.errors import BadInput
from tinycomp.ir import Array, Graph, Quant
from tinycomp.quantize import images

Pixels = tuple[float, float]  # the real values of 0 and 255
FORMATS = "an .npz or .npy file, or a folder of .npy arrays or of images"


@dataclass(frozen=True, eq=False)
class Part:
    """One array of cases and where it came from. `one`: it may be a single case without an axis that counts."""

    where: str
    array: Array
    one: bool = False


@dataclass(frozen=True, eq=False)
class Raw:
    """What was read, unchecked: for each input of the graph its parts, and int8 parameters that hold them exactly."""

    where: str
    parts: tuple[tuple[Part, ...], ...]
    quants: tuple[Quant | None, ...]
    labels: Array | None = None
    warnings: tuple[str, ...] = ()


def pixels_of(text: str) -> Pixels:
    """LOW:HIGH as two numbers. Raises BadInput."""
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = 0.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(f"{text!r} is not LOW:HIGH with LOW below HIGH", where="--pixels",
                       fix="for example 0:1, -1:1 or 0:255")  # fmt: skip
    return low, high


def read(path: Path, graph: Graph, pixels: Pixels | None) -> Raw:
    """The data at a path. Raises BadInput, ToolMissing."""
    if path.is_dir():
        return _folder(path, graph, pixels)
    if not path.exists():
        raise BadInput("does not exist", where=str(path), fix=f"give {FORMATS}")
    loaded = _load(path)
    if isinstance(loaded, dict):
        return _archive(path, loaded, graph, pixels)
    _require_one_input(graph, str(path))
    return Raw(str(path), ((Part(str(path), _scaled(loaded, pixels)),),), (_pixel_quant(loaded, pixels),))


def _load(path: Path) -> Array | dict[str, Array]:
    """The array of an .npy file, the arrays of an .npz file by name."""
    where = str(path)
    try:
        with path.open("rb") as file:
            loaded: Any = np.load(file, allow_pickle=False)
            if hasattr(loaded, "shape"):
                return cast(Array, loaded)
            held: dict[str, Array] = {}
            for key in cast(list[str], loaded.files):
                where = f"{path}, {key}"
                held[key] = np.asarray(loaded[key])
            return held
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        what = "is not a numpy file" if where == str(path) else "cannot be read"
        raise BadInput(f"{what}: {error}", where=where, fix=f"give {FORMATS}, of numbers") from None


def _array(path: Path) -> Array:
    """The array of an .npy file."""
    loaded = _load(path)
    if isinstance(loaded, dict):
        raise BadInput("is an .npz under the name of an .npy file", where=str(path), fix="rename it")
    return loaded


def _archive(path: Path, held: dict[str, Array], graph: Graph, pixels: Pixels | None) -> Raw:
    """An .npz: an array for each input (its name, input0 …, for one input x or x_int8), y, scale and zero_point."""
    parts: list[tuple[Part, ...]] = []
    quants: list[Quant | None] = []
    for i, name in enumerate(graph.inputs):
        keys = [name, f"input{i}", *(["x", "x_int8"] if len(graph.inputs) == 1 else [])]
        key = next((k for k in keys if k in held), None)
        if key is None:
            wanted = "x" if len(graph.inputs) == 1 else keys[1]
            raise BadInput(f"has no array for input {i}, {name!r}; it holds {', '.join(held) or 'nothing'}",
                           where=str(path), fix=f"name the array {wanted}")  # fmt: skip
        array, where = held[key], f"{path}, {key}"
        stated = _stated_quant(held, array, where) if len(graph.inputs) == 1 else None
        real = stated is not None and graph.tensors[name].dtype == "float32"
        quants.append(_as_int8(array, stated) if stated and real else _pixel_quant(array, pixels))
        parts.append((Part(where, _dequantized(array, stated) if stated and real else _scaled(array, pixels)),))
    return Raw(str(path), tuple(parts), tuple(quants), held.get("y"))


def _stated_quant(held: dict[str, Array], array: Array, where: str) -> Quant | None:
    """scale and zero_point of the archive, which integer arrays are in."""
    if array.dtype.kind not in "iu" or "scale" not in held:
        return None
    scale, zero = held["scale"].reshape(-1), held.get("zero_point", np.zeros(1, np.int64)).reshape(-1)
    if len(scale) != 1 or len(zero) != 1 or scale.dtype.kind not in "fiu" or zero.dtype.kind not in "iu":
        raise BadInput("scale and zero_point must be one number each, the zero point an integer", where=where,
                       fix="real = scale · (x − zero_point) must hold for the whole array")  # fmt: skip
    if not (math.isfinite(float(scale[0])) and float(scale[0]) > 0):
        raise BadInput(f"the scale {scale[0]} is not a positive number", where=where)
    return Quant((float(np.float32(scale[0])),), (int(zero[0]),))


def _dequantized(array: Array, quant: Quant) -> Array:
    """real = scale · (q − zero_point)."""
    return (np.float32(quant.scale[0]) * (array.astype(np.int64) - quant.zero_point[0])).astype(np.float32)


def _as_int8(array: Array, quant: Quant) -> Quant | None:
    """The parameters that hold these integers as int8 without loss; None for wider ones."""
    zero = quant.zero_point[0] - (128 if array.dtype == np.uint8 else 0)
    return Quant(quant.scale, (zero,)) if array.dtype.itemsize == 1 and -128 <= zero <= 127 else None


def _pixel_quant(array: Array, pixels: Pixels | None) -> Quant | None:
    """Pixels of 8 bits as int8: the real value of byte p is scale · (p − 128 − zero_point), where 0 is a byte."""
    if pixels is None or array.dtype != np.uint8:
        return None
    scale = float(np.float32((pixels[1] - pixels[0]) / 255))
    zero = round(-128 - pixels[0] / scale)
    exact = -128 <= zero <= 127 and abs(pixels[0] + (zero + 128) * scale) < 1e-3 * scale
    return Quant((scale,), (zero,)) if exact else None


def _scaled(array: Array, pixels: Pixels | None) -> Array:
    """uint8 pixels as real values, where it is said what they stand for."""
    if pixels is None or array.dtype != np.uint8:
        return array
    low, high = pixels
    return (np.float32(low) + array.astype(np.float32) * np.float32((high - low) / 255)).astype(np.float32)


def _folder(path: Path, graph: Graph, pixels: Pixels | None) -> Raw:
    """All arrays, or all images, of a folder and those inside it, in the order of their names."""
    _require_one_input(graph, str(path))
    held = [p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    arrays = [p for p in held if p.suffix.lower() == ".npy"]
    pictures = [p for p in held if p.suffix.lower() in images.SUFFIXES]
    if not arrays and not pictures:
        raise BadInput(f"holds no .npy arrays and no images ({', '.join(sorted(images.SUFFIXES))})", where=str(path),
                       fix=f"give {FORMATS}")  # fmt: skip
    if arrays and pictures:
        raise BadInput(f"holds arrays ({arrays[0].name}) and images ({pictures[0].name})", where=str(path),
                       fix="give a folder of one kind")  # fmt: skip
    left = len(held) - len(arrays) - len(pictures)
    warnings = (f"{path}: {left} files are neither arrays nor images and were left out",) if left else ()
    if pictures:
        t = graph.tensors[graph.inputs[0]]
        bytes_ = [images.pixels_of(p, t) for p in pictures]
        if pixels is None:
            raise BadInput("holds images, and it is not said what values the model expects for black and white",
                           where=str(path), fix="say --pixels LOW:HIGH, for example 0:1, -1:1 or 0:255")  # fmt: skip
        parts = tuple(Part(str(p), _scaled(a, pixels), one=True) for p, a in zip(pictures, bytes_, strict=True))
        return Raw(str(path), (parts,), (_pixel_quant(bytes_[0], pixels),), None, warnings)
    parts = tuple(Part(str(p), _scaled(_array(p), pixels), one=True) for p in arrays)
    return Raw(str(path), (parts,), (None,), None, warnings)


def save(data: bytes, out: Path, source: Path) -> None:
    """Write a model, whole or not at all. Raises BadInput where the path cannot be written or is the source's."""
    if out.is_dir():
        raise BadInput("is a folder", where=str(out), fix="give the name of a .tflite file")
    if out.exists() and source.exists() and out.samefile(source):
        raise BadInput("is the model itself", where=str(out), fix="choose another name for what is written")
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(out)
    except OSError as error:
        if part.exists():
            part.unlink()
        raise BadInput(f"cannot be written: {error.strerror}", where=str(out), fix="choose another place") from None


def _require_one_input(graph: Graph, where: str) -> None:
    if len(graph.inputs) != 1:
        raise BadInput(f"holds one array, the model has {len(graph.inputs)} inputs: {', '.join(graph.inputs)}",
                       where=where, fix="give an .npz with an array for each")  # fmt: skip
