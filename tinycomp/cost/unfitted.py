"""The kernel rows whose work is not predicted, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tinycomp.cores import Core

SOFTWARE_FLOAT = "without an FPU floating point is library calls, whose cycles depend on the data"
LIBRARY = "calls the C library's exponential, whose cycles depend on the data"
ROWS: Mapping[str, str] = MappingProxyType({
    "logistic/float": LIBRARY,
    "softmax/float": LIBRARY,
    "tanh/float": LIBRARY,
})  # fmt: skip
FLOATS = frozenset({"float", "reduce_float", "plain", "dequantize/portable", "quantize/float"})


def reason(op: str, kernel: str, core: Core) -> str | None:
    """Why there is no prediction for a row on a core; None where there ought to be one."""
    if "fpu" not in core.features and FLOATS & {kernel, f"{op}/{kernel}"}:
        return SOFTWARE_FLOAT
    return ROWS.get(f"{op}/{kernel}")
