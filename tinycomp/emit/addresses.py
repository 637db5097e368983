"""How the C of a program finds its rows: address expressions, slot tables, the order of calls."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tinycomp.kernel import Taps
from tinycomp.layout import SRAM
from tinycomp.program import Operand, Place, Program, Run, Step
from tinycomp.timeline import ARRIVAL


def _plain(operand: Operand, step: Step) -> bool:
    """One row for each call, never padding: its address is an expression."""
    taps = operand.taps
    return taps is None or (taps.count == 1 and not taps.leaves(operand.place.rows, step.calls))


def base(region: str) -> str:
    """The C variable that points to a region's arena."""
    return "arena" if region == SRAM else region


class Tables:
    """Row addresses that follow no line: bytes or half-words in flash, in units of their common divisor."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}

    def row(self, place: Place, y: str) -> str:
        """The C expression for the address of row `y`."""
        arena = base(place.region)
        if (line := place.affine) is not None:
            offset, stride = line
            return f"{arena} + {offset}" if y == "0" or stride == 0 else f"{arena} + {offset} + {_times(y, stride)}"
        low, unit, table = self.table(place)
        return f"{arena} + {low} + {_times(f'{table}[{y}]', unit)}"

    def table(self, place: Place) -> tuple[int, int, str]:
        """(low, unit, symbol): row y lies at low + unit * symbol[y]."""
        low = min(place.offsets)
        unit = math.gcd(*(offset - low for offset in place.offsets))
        values = tuple((offset - low) // unit for offset in place.offsets)
        symbol = self._known.setdefault(values, f"slots_{len(self._known)}")
        return low, unit, symbol

    def wide(self, place: Place) -> bool:
        """The table needs half-words."""
        low, unit, _ = self.table(place)
        return (max(place.offsets) - low) // unit > 255

    def listed(self) -> list[dict[str, Any]]:
        """The tables for the template."""
        return [
            {"symbol": symbol, "type": "uint8_t" if max(values) < 256 else "uint16_t", "count": len(values),
             "entries": ", ".join(map(str, values))}
            for values, symbol in self._known.items()
        ]  # fmt: skip


def _times(y: str, factor: int) -> str:
    return y if factor == 1 else f"{y} * {factor}" if y.isidentifier() or y.endswith("]") else f"({y}) * {factor}"


def _row(taps: Taps) -> str:
    """The C expression for the row that a single tap reads in call y."""
    if taps.stride == 0:
        return str(-taps.pad)
    times = "y" if taps.stride == 1 else f"y * {taps.stride}"
    return f"{times} {'-' if taps.pad > 0 else '+'} {abs(taps.pad)}" if taps.pad else times


def _operand(o: Operand, step: Step, at: int, tables: Tables) -> dict[str, Any]:
    """How a layer finds the rows of one operand; `take` names the helper that it calls, "" for an expression."""
    taps, arena = o.taps, base(o.place.region)
    facts: dict[str, Any] = {
        "at": at,
        "count": 1 if taps is None else taps.count,
        "rows": o.place.rows,
        "taps": taps,
        "take": "",
    }
    if taps is None:
        return facts | {"address": f"{arena} + {o.place.offsets[0]}"}
    if _plain(o, step):
        return facts | {"address": tables.row(o.place, _row(taps))}
    if (line := o.place.affine) is not None:
        return facts | {"take": "take_rows", "from": f"{arena} + {line[0]}, {line[1]}"}
    low, unit, table = tables.table(o.place)
    return facts | {
        "take": "take_slots16" if tables.wide(o.place) else "take_slots",
        "from": f"{arena} + {low}, {unit}, {table}",
    }


def layer(
    index: int, step: Step, program: Program, name: str, tables: Tables, given: tuple[str, ...]
) -> dict[str, Any]:
    """A layer's function for the template. given: those of the kernel's arguments that its C reads."""
    operands: list[dict[str, Any]] = []
    at = 0
    for o in step.operands:
        operands.append(_operand(o, step, at, tables))
        at += operands[-1]["count"]
    leaf, f = step.leaf, step.function
    arguments = [f"{name}_{d.symbol}" for d in step.data] + [str(leaf.numbers[a]) for a in given]
    pad = step.access.pad
    out = program.graph.out(step.node)
    window = step.access.kind == "window"
    output = tables.row(step.output, "y" if window else "0")
    reads_y = step.access.kind == "reduce" or any(
        o["take"] or re.search(r"\by\b", str(o.get("address"))) for o in [*operands, {"take": "", "address": output}]
    )
    scratch = None if step.scratch is None else f"{base(step.scratch_region)} + {step.scratch}"
    return {
        "index": index, "node": step.node.name, "op": step.node.op, "shape": list(out.shape), "type": out.dtype,
        "kind": step.access.kind, "operands": operands, "pointers": at, "calls": step.calls,
        "function": f.symbol, "output": output, "reads_y": reads_y, "scratch": scratch, "bases": _bases(step),
        "states": step.states,
        "arguments": arguments, "pad": "NULL" if pad is None or pad not in program.pads else f"pad_{pad:02x}",
        "bytes_out": step.output.row_bytes if window else out.bytes,
    }  # fmt: skip


def _bases(step: Step) -> list[str]:
    """The arenas that a layer works in, SRAM's first."""
    regions = {step.output.region, *(o.place.region for o in step.operands)}
    regions |= set() if step.scratch is None else {step.scratch_region}
    regions |= {SRAM} if step.states else set()
    return joined([[base(r) for r in regions]])


def joined(bases: Iterable[Iterable[str]]) -> list[str]:
    """The arenas of several layers, each once, SRAM's first."""
    return sorted({b for some in bases for b in some}, key=lambda b: (b != base(SRAM), b))


def order(run: Run, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A run for the template: which layers, in which arenas, and the order of their calls if it is not one loop."""
    if run.order is None:
        return {"first": run.first, "end": run.end, "order": None}
    bases = joined(layer["bases"] for layer in layers[run.first : run.end])
    marker = 255 if run.end - run.first < 255 else 65535
    steps = [marker if w == ARRIVAL else w - run.first for w in run.order]
    lines = [", ".join(map(str, steps[i : i + 40])) for i in range(0, len(steps), 40)]
    return {"first": run.first, "end": run.end, "order": lines, "count": len(steps), "marker": marker, "bases": bases,
            "type": "uint8_t" if marker == 255 else "uint16_t"}  # fmt: skip


def push(program: Program, tables: Tables) -> dict[str, Any] | None:
    """How rows arrive, None where the input is held."""
    if not program.pushed:
        return None
    place = program.input_rows
    return {
        "rows": place.rows,
        "row_bytes": place.row_bytes,
        "address": tables.row(place, "ctx->row"),
        "base": base(place.region),
        "progress": program.layout.progress_at,
        "layers": program.runs[0].end,
    }
