"""Whether a program is fast enough, and which layers to blame where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinycomp.errors import Unsupported
from tinycomp.report.memory import Verdict
from tinycomp.target import Board

NAMED = 3  # layers in a message


def require_known(report: Mapping[str, Any], board: Board) -> None:
    """Raise Unsupported where there is a time budget and the cycles are not known."""
    if report["budget"]["max_ms"] is None or report["cycles"]["value"] is not None:
        return
    unknown = [layer for layer in report["layers"] if layer["cycles"] is None]
    if len(unknown) == len(report["layers"]):
        raise Unsupported(f"a time budget cannot be checked: there is no cycle model of {board.core.title}",
                          where="--max-ms", fix="leave it out and measure on the board")  # fmt: skip
    parts = ", ".join(f"{layer['name']} (kernel {layer['kernel']})" for layer in unknown[:NAMED])
    more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    raise Unsupported(f"a time budget cannot be checked: on {board.core.title} the cycles of {parts}{more} are not "
                      "modelled", where="--max-ms", fix="leave it out and measure on the board")  # fmt: skip


def verdict(report: Mapping[str, Any], board: Board) -> Verdict | None:
    """None where there is no time budget or it is kept; otherwise by how much it is missed, and the slowest layers."""
    limit, needed = report["budget"]["max_ms"], report["latency_ms"]
    if limit is None or needed is None or needed <= limit:
        return None
    total = report["cycles"]["value"]
    slowest = sorted(report["layers"], key=lambda layer: (-layer["cycles"], layer["index"]))[:NAMED]
    parts = ", ".join(f"{layer['name']} ({layer['cycles']:,}, {100 * layer['cycles'] / total:.0f} %)"
                      for layer in slowest)  # fmt: skip
    mhz = f"{board.clock_hz / 1e6:g} MHz"
    return Verdict(f"one inference takes {needed:g} ms on {board.id} ({total:,} cycles at {mhz}, "
                   f"{report['cycles']['how']}) and {limit:g} ms are allowed; slowest layers, in cycles: {parts}",
                   "--max-ms",
                   "take --opt speed, a faster board or a smaller model; --force writes the build anyway",
                   ram=False)  # fmt: skip
