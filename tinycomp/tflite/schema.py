"""Generic access to the flatbuffer schema: enumerations by name, option tables as dictionaries.

The generated accessors of the `tflite` package are imported when a model is read or written and not before: they cost
a tenth of a second, which `--help` should not pay. They are reached through `Any`, since they carry no types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

_HELPERS = ("AsNumpy", "Length", "IsNone")


def module(name: str) -> Any:
    """The generated module of one table or enumeration, say `Conv2DOptions`."""
    return import_module(f"tflite.{name}")


def table(name: str) -> Any:
    """The generated class of one table."""
    return getattr(module(name), name)


def _members(name: str) -> Mapping[str, Any]:
    generated: type = table(name)
    return generated.__dict__


@cache
def enumeration(name: str) -> Mapping[int, str]:
    """An enumeration's names by value: `enumeration("TensorType")[9] == "INT8"`."""
    members = _members(name)
    return {value: key for key, value in members.items() if isinstance(value, int) and not key.startswith("_")}


@cache
def numbers(name: str) -> Mapping[str, int]:
    """An enumeration's values by name."""
    return {key: value for value, key in enumeration(name).items()}


def snake(camel: str) -> str:
    """The schema's field name for a generated accessor: StrideH to stride_h."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", camel).lower()


def camel(name: str) -> str:
    """The inverse of `snake`."""
    return "".join(part.capitalize() for part in name.split("_"))


@cache
def fields(name: str) -> Mapping[str, bool]:
    """A table's fields by accessor name, and whether each is a vector."""
    members = _members(name)
    methods = [m for m in members if m[0].isupper() and m != "Init" and not m.startswith("GetRootAs")]
    methods = [m for m in methods if not m.endswith("BufferHasIdentifier")]
    vectors = {m for m in methods if f"{m}Length" in methods}
    hidden = {vector + helper for vector in vectors for helper in _HELPERS}
    return {m: m in vectors for m in methods if m not in hidden}


def read_options(name: str, raw: Any) -> dict[str, Any]:
    """The fields of an options table by schema name: numbers, booleans, strings, and tuples of numbers.

    raw: the untyped flatbuffer table of the union. Fields that are tables themselves are left out.
    Raises what the accessors raise (struct.error, ValueError, …) where the file is damaged.
    """
    options = table(name)()
    options.Init(raw.Bytes, raw.Pos)
    found: dict[str, Any] = {}
    for accessor, vector in fields(name).items():
        if vector:
            if hasattr(options, f"{accessor}AsNumpy"):
                values = getattr(options, f"{accessor}AsNumpy")()  # the integer 0 where the vector is absent
                found[snake(accessor)] = () if isinstance(values, int) else tuple(values.tolist())
            continue
        value = getattr(options, accessor)()
        if isinstance(value, bytes):
            found[snake(accessor)] = value.decode("utf-8", "backslashreplace")
        elif isinstance(value, (bool, int, float)):
            found[snake(accessor)] = value
    return found


def write_options(builder: Any, name: str, options: Mapping[str, Any]) -> int:
    """Write an options table and return its offset. Raises KeyError where the schema has no such field."""
    generated, known = module(name), fields(name)
    unknown = [field for field in options if camel(field) not in known]
    if unknown:
        raise KeyError(f"{name} has no field {unknown[0]!r}; it has {', '.join(snake(k) for k in known)}")
    ready: dict[str, Any] = {}
    for field, value in options.items():
        if isinstance(value, str):
            ready[field] = builder.CreateString(value)
        elif known[camel(field)]:
            dtype = np.float32 if any(isinstance(v, float) for v in value) else np.int32
            ready[field] = builder.CreateNumpyVector(np.array(value, dtype))
        else:
            ready[field] = value
    getattr(generated, f"{name}Start")(builder)
    for field, value in ready.items():
        getattr(generated, f"{name}Add{camel(field)}")(builder, value)
    return getattr(generated, f"{name}End")(builder)
