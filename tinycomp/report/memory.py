"""RAM over the steps of a program: what is live when, what the peak is made of, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinycomp.layout import SRAM, Resident, live_at
from tinycomp.program import Program
from tinycomp.target import Board, Budget


@dataclass(frozen=True)
class Verdict:
    """Why a program does not fit, ready to be an error. ram: for want of RAM."""

    what: str
    where: str
    fix: str
    ram: bool


COLUMNS = 48  # stretches of time that the chart shows
SAMPLES = 200  # steps that a report shows at most: of each stretch of tasks the fullest


@dataclass(frozen=True)
class Moment:
    """A task and what the arena holds during it."""

    task: int
    step: int
    live: tuple[Resident, ...]

    @property
    def bytes(self) -> int:
        """Bytes that hold something."""
        return sum(r.size for r in self.live)


def moment(program: Program, task: int, region: str | None = None) -> Moment:
    """The arena during a task, counted from 0: of all memory regions, or of one."""
    by_task = owners(program)
    live = tuple(r for r in program.layout.residents if r.start <= task + 1 < r.end and region in (None, r.region))
    return Moment(task, by_task[task] if by_task else 0, live)


def owners(program: Program) -> list[int]:
    """The step of each task; an arriving row counts to the first step of its run."""
    found: list[int] = []
    for run in program.runs:
        if run.order is None:
            found += [run.first] * program.steps[run.first].calls
        else:
            found += [max(step, run.first) for step in run.order]
    return found


def steps(program: Program) -> list[dict[str, Any]]:
    """RAM over time: for at most SAMPLES tasks the tensors that hold something, with offset, bytes and live rows."""
    tasks = max(len(owners(program)), 1)
    used = live_at(program.layout, tasks + 2)[1:-1]
    stride = -(-tasks // SAMPLES)
    chosen = [max(range(a, min(a + stride, tasks)), key=lambda t: (used[t], -t)) for a in range(0, tasks, stride)]
    names = [step.node.name for step in program.steps] or ["model"]
    listing: list[dict[str, Any]] = []
    for task in chosen:
        now = moment(program, task)
        listing.append({"step": task, "layer": names[now.step], "live": listed(now)})
    return listing


def over_time(program: Program) -> dict[str, list[int]]:
    """RAM from the first task to the last in COLUMNS equal stretches of tasks, of each the most bytes.

    whole_tensors: of layers that keep tensors whole, each for as long as it has rows to compute. arena: up to where
    the memory is in use, all regions together. live: what of it holds something.
    """
    tasks = max(len(owners(program)), 1)
    arena = np.zeros(tasks, np.int64)
    for region in program.layout.sizes:
        top = np.zeros(tasks, np.int64)
        for r in program.layout.residents:
            if r.region == region:
                span = top[max(r.start - 1, 0) : max(r.end - 1, 0)]
                np.maximum(span, r.at + r.size, out=span)
        arena += top
    whole = np.repeat(program.whole_tensors, [s.calls for s in program.steps] or [1])
    live = np.array(live_at(program.layout, tasks + 2)[1:-1])
    named = {"whole_tensors": whole, "arena": arena, "live": live}
    return {name: [int(part.max()) for part in _stretches(values)] for name, values in named.items()}


def _stretches(values: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    count = len(values)
    return [values[c * count // COLUMNS : max((c + 1) * count // COLUMNS, c * count // COLUMNS + 1)]
            for c in range(COLUMNS)]  # fmt: skip


def plans(program: Program) -> list[dict[str, Any]]:
    """The plans that there were to choose from."""
    return [{"kind": t.kind, "slower_kernels": t.swapped, "arena_bytes": t.arena, "fits": t.fits, "taken": t.taken}
            for t in program.tried]  # fmt: skip


def listed(now: Moment) -> list[dict[str, Any]]:
    """`tensors` for report.json; those outside SRAM say their region."""
    regions = {r.name: r.region for r in now.live}
    return [
        {"tensor": name, "offset": at, "bytes": size, "rows": rows}
        | ({} if regions[name] == SRAM else {"region": regions[name]})
        for name, at, size, rows in tensors(now)
    ]


def tensors(now: Moment) -> list[tuple[str, int, int, int]]:
    """(name, lowest offset, bytes, rows) of each tensor that is alive, by offset; scratch counts no rows."""
    found: dict[str, list[int]] = {}
    for r in now.live:
        entry = found.setdefault(r.name, [r.at, 0, 0])
        entry[0], entry[1], entry[2] = min(entry[0], r.at), entry[1] + r.size, entry[2] + (r.row is not None)
    return sorted(((name, at, size, rows) for name, (at, size, rows) in found.items()), key=lambda t: t[1])


def peak(program: Program, region: str | None = None) -> Moment:
    """The first task at which most bytes are alive: in all memory regions, or in one."""
    used = live_at(program.layout, max(len(owners(program)), 1) + 2, region)[1:-1]
    return moment(program, max(range(len(used)), key=lambda t: (used[t], -t)), region)


def verdict(report: Mapping[str, Any], program: Program, board: Board, budget: Budget) -> Verdict | None:
    """None where flash and RAM suffice; otherwise what is too large, where, by how much, and what to do."""
    needs = {r["name"]: (r["arena_bytes"], r["budget"]) for r in report["regions"]}
    needs[SRAM] = (report["ram_bytes"], budget.ram)
    small = [region for region, (need, have) in needs.items() if need > have]
    if small:
        now = peak(program, small[0])
        live = sorted(tensors(now), key=lambda t: (-t[2], t[0]))
        parts = ", ".join(f"{_label(name)} ({size:,})" for name, _, size, _ in live[:6])
        parts += f" and {len(live) - 6} more" if len(live) > 6 else ""
        need, have = needs[small[0]]
        layer = program.steps[now.step].node.name if program.steps else "the model"
        what = (f"the arena needs {program.arena:,} bytes ({need:,} with the context) and {board.id} has {have:,} for "
                f"it, {need - have:,} too few; live at the peak: {parts}")  # fmt: skip
        if len(needs) > 1:
            of = " and ".join(f"{need:,} bytes of {region}, where {board.id} has {have:,}"
                              for region, (need, have) in needs.items())  # fmt: skip
            what = f"the model needs {of}: {need - have:,} too few in {small[0]}; live there at the peak: {parts}"
        return Verdict(what, f"layer {now.step} {layer}",
                       "take a board with more RAM, a smaller model or a smaller input; --force writes the build "
                       "anyway", ram=True)  # fmt: skip
    if report["flash_bytes"] > budget.flash:
        heavy = sorted(report["layers"], key=lambda layer: -layer["weights_bytes"])[:3]
        parts = ", ".join(f"{layer['name']} ({layer['weights_bytes']:,})" for layer in heavy)
        need, have = report["flash_bytes"], budget.flash
        weights, tables, code = (report[key] for key in ("weights_bytes", "tables_bytes", "code_bytes"))
        return Verdict(f"needs {need:,} bytes of flash (weights {weights:,}, tables {tables:,}, code {code['value']:,} "
                       f"{code['how']}) and {board.id} has {have:,}, {need - have:,} too few; largest weights: {parts}",
                       "flash",
                       "take a board with more flash or a smaller model; --force writes the build anyway",
                       ram=False)  # fmt: skip
    return None


def _label(name: str) -> str:
    """A tensor's name, short enough for a message."""
    return name if len(name) <= 40 else f"…{name[-39:]}"
