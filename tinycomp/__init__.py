"""tinycomp: TensorFlow Lite models to plain C for microcontrollers.

`compile`, `verify` and `Result` are the Python API (tinycomp/api.py), imported when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tinycomp.api import Result as Result
    from tinycomp.api import compile as compile
    from tinycomp.api import verify as verify

_API = ("Result", "compile", "verify")


def __getattr__(name: str) -> Any:
    """The API's functions. Raises AttributeError for any other name."""
    if name in _API:
        from tinycomp import api

        return getattr(api, name)
    raise AttributeError(f"module 'tinycomp' has no attribute {name!r}")
