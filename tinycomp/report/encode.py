"""report.json as text: innermost lists and objects on one line, so that tables of numbers stay readable and small."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast


def dumps(facts: object) -> str:
    """JSON of plain data (dict, list, tuple, str, numbers, bool, None), one line a leaf; ends with a newline."""
    return "".join(_parts(facts, "")) + "\n"


def _parts(value: object, indent: str) -> Iterator[str]:
    if not isinstance(value, dict | list | tuple) or _leaf(cast("dict[str, Any] | list[Any]", value)):
        yield json.dumps(value, allow_nan=False)
        return
    inner = indent + " "
    if isinstance(value, dict):
        members = [(f"{json.dumps(str(k))}: ", v) for k, v in cast("dict[str, Any]", value).items()]
    else:
        members = [("", v) for v in cast("list[Any]", value)]
    yield "{" if isinstance(value, dict) else "["
    for i, (key, member) in enumerate(members):
        yield f"{',' if i else ''}\n{inner}{key}"
        yield from _parts(member, inner)
    yield f"\n{indent}{'}' if isinstance(value, dict) else ']'}"


def _leaf(value: dict[str, Any] | list[Any]) -> bool:
    """Whether nothing inside holds more than scalars and lists of scalars of a few elements."""
    members = list(value.values()) if isinstance(value, dict) else value
    return all(not isinstance(m, dict | list | tuple) or _short(cast("list[object]", m)) for m in members)


def _short(value: list[object] | dict[str, object]) -> bool:
    flat = isinstance(value, list | tuple) and not any(isinstance(m, dict | list | tuple) for m in value)
    return flat and len(value) <= 4
