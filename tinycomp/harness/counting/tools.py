"""The Python packages of the extra `emulate`, which have no types, or a message that says how to get them."""

from __future__ import annotations

import importlib
from typing import Any

from tinycomp.errors import ToolMissing


def package(name: str) -> Any:
    """A module of one of them. Raises ToolMissing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ToolMissing(f"the Python package {name.split('.')[0]!r} is not installed",
                          fix="pip install 'tinycomp[emulate]'") from None  # fmt: skip
