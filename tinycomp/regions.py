"""Which memory region each tensor and scratch lives in, where a board has RAM besides SRAM.

A program that fits SRAM stays there. One that does not, or whose user names regions, is spread: what is touched most
for each byte that it occupies goes to the fastest region, as far as it fits, and the next region takes the rest. So
scratch and the windows that rows stream through stay fast, and a held input or a tensor that is written once and read
once goes to the slow memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinycomp.errors import BadInput
from tinycomp.layout import SRAM, Homes, Layout, Plan, lay_out, state_block
from tinycomp.segments import Segment
from tinycomp.target import Board, Budget
from tinycomp.timeline import ARRIVAL, Model, Task

FAST_FIRST = ("dtcm", SRAM, "psram")  # regions that can hold data; the slowest last
SLOW = ("psram",)  # behind a cache and a serial bus
POINTER_BYTES = 4  # of NAME_ctx_t for each region, on every 32-bit core,
PUSH_BYTES = 8  # and two counters where rows are pushed


@dataclass(frozen=True)
class Room:
    """Bytes that a model may have of a region, its context included where that is SRAM."""

    region: str
    bytes: int


@dataclass(frozen=True)
class Rooms:
    """Where a program may go, fastest first, SRAM always among them.

    asked: the user has named the regions. constants: SRAM holds the constant arrays too.
    """

    fast_first: tuple[Room, ...]
    asked: bool = False
    constants: bool = False

    def beside(self, constants: int) -> Rooms:
        """What is left of them beside so many bytes of constant arrays."""
        if not self.constants:
            return self
        left = (replace(r, bytes=r.bytes - constants) if r.region == SRAM else r for r in self.fast_first)
        return replace(self, fast_first=tuple(left))

    @property
    def fast(self) -> Rooms:
        """Those that are as fast as SRAM."""
        return replace(self, fast_first=tuple(r for r in self.fast_first if r.region not in SLOW))


@dataclass(frozen=True, eq=False)
class Item:
    """A storage or a worker's scratch. live: bytes that it holds at each time. touched: bytes read and written."""

    index: int
    scratch: bool
    live: NDArray[np.int64]
    touched: int

    @property
    def most(self) -> int:
        """The most bytes that it holds at once."""
        return int(self.live.max(initial=0))

    @property
    def heat(self) -> float:
        """How often a byte of its memory is read or written during a run."""
        return self.touched / self.most if self.most else 0.0


def rooms(board: Board, framework: str, budget: Budget, wanted: str | None = None) -> Rooms:
    """The regions that a build may use, SRAM within the budget. wanted: names with commas between, None for all.

    Raises BadInput where the board, or the framework on it, has no such region, or SRAM is not named.
    """
    usable = {r.name: r.usable_with(framework) for r in board.regions if framework not in r.not_with}
    usable[SRAM] = budget.ram
    usable = {name: usable[name] for name in FAST_FIRST if name in usable}
    names = list(usable) if wanted is None else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in usable:
            raise BadInput(f"{board.id} has no region {name!r} for data with {framework}", where="--regions",
                           fix=f"use some of: {', '.join(usable)}")  # fmt: skip
    if SRAM not in names:
        raise BadInput("sram holds the arena that every build has", where="--regions",
                       fix=f"--regions {','.join([SRAM, *names])}")  # fmt: skip
    found = tuple(Room(name, usable[name]) for name in usable if name in names)
    return Rooms(found, wanted is not None, constants_in_ram(board))


def constants_in_ram(board: Board) -> bool:
    """That flash is read by words alone, so the linker keeps constant arrays in RAM."""
    return board.flash.access_bytes > 1


def context_bytes(pushed: bool, regions: int = 1) -> int:
    """Bytes of NAME_ctx_t, which counts as RAM beside the arena."""
    return POINTER_BYTES * regions + (PUSH_BYTES if pushed else 0)


def fits(layout: Layout, pushed: bool, where: Rooms) -> bool:
    """Every region has room for its arena, and SRAM for the context too."""
    limits = {room.region: room.bytes for room in where.fast_first}
    context = context_bytes(pushed, len(layout.sizes))
    needs = {region: size + (context if region == SRAM else 0) for region, size in layout.sizes.items()}
    return all(need <= limits.get(region, 0) for region, need in needs.items())


def spread(plain: Layout, model: Model, segments: Sequence[Segment], align: int, progress: int, where: Rooms) -> Layout:
    """`plain`, which has everything in SRAM, where that will do; else the same tasks with several regions.

    Where the hottest-first choice does not fit, large pieces get the first choice. What fits neither way is laid out
    hottest first, and its sizes say which region is too small.
    """
    faster = where.asked and where.fast_first[0].region != SRAM
    if len(where.fast_first) < 2 or (fits(plain, progress > 0, where) and not faster):
        return plain
    spare = context_bytes(progress > 0, len(where.fast_first))
    limits = {r.region: r.bytes - (spare if r.region == SRAM else 0) for r in where.fast_first}
    tasks = [task for segment in segments for task in segment.tasks]
    found = items(model, tasks, align)
    made: list[Layout] = []
    for order in (sorted(found, key=lambda i: -i.heat), sorted(found, key=lambda i: -i.most)):
        homes = _filled(order, model, tasks, (align, progress), limits)
        made.append(lay_out(model, segments, align, progress, homes))
        if all(size <= limits[region] for region, size in made[-1].sizes.items()):
            return made[-1]
    return made[0]


def items(model: Model, tasks: Sequence[Task], align: int) -> list[Item]:
    """Every storage and scratch that the tasks use, storages first."""
    plan = Plan(model, tasks, align, 0, Homes.one(model))
    change = np.zeros((len(model.storages), plan.times + 1), np.int64)
    for cluster in plan.clusters:
        for (s, _), piece in cluster.pieces.items():
            change[s, piece.start] += piece.size
            change[s, piece.end] -= piece.size
    touched = _touched(model, tasks)
    made = [Item(s, False, np.cumsum(change[s])[:-1], touched[s]) for s in range(len(model.storages))]
    for w, block in plan.scratch.items():
        live = np.zeros(plan.times, np.int64)
        for p in block.pieces:
            live[p.start : p.end] += p.size
        # Each call writes its scratch and reads it again, once at least.
        made.append(Item(w, True, live, 2 * block.size * model.workers[w].calls))
    return [item for item in made if item.most]


def _touched(model: Model, tasks: Sequence[Task]) -> list[int]:
    """By storage the bytes that the tasks and the caller read and write."""
    rows = [0] * len(model.storages)
    for task in tasks:
        if task.worker == ARRIVAL:
            rows[model.inputs[0]] += 1
            continue
        worker = model.workers[task.worker]
        target, written = worker.writes[task.call]
        rows[target] += len(written)
        for s, read in worker.reads[task.call]:
            rows[s] += len(read)
    held = () if any(task.worker == ARRIVAL for task in tasks) else model.inputs
    for s in (*held, *model.outputs):
        rows[s] += model.storages[s].rows
    return [n * storage.row_bytes for n, storage in zip(rows, model.storages, strict=True)]


def _filled(
    order: Sequence[Item], model: Model, tasks: Sequence[Task], fixed: tuple[int, int], limits: dict[str, int]
) -> Homes:
    """Each region in turn takes, in the order given, what fits beside what it has; the last one takes the rest.

    fixed: the alignment, and the bytes of progress counters in SRAM. States stay in SRAM, too.
    """
    *fast, last = limits
    align, progress = fixed
    always = progress + state_block(model, align)[1]  # in SRAM, whatever comes
    storages = tuple(SRAM if s in model.persistent else last for s in range(len(model.storages)))
    homes = Homes(storages, (last,) * len(model.workers))
    left = list(order)
    for region in fast:
        used = np.full(len(tasks) + 2, always if region == SRAM else 0)
        chosen: list[Item] = []
        for item in left:
            if int((used + item.live).max()) <= limits[region]:
                chosen.append(item)
                used = used + item.live
        # Gaps may make the arena larger than what is alive: then what comes last in the order stays out.
        few, many = 0, len(chosen)
        while few < many:
            count = many if many == len(chosen) else (few + many + 1) // 2  # all of it, first
            tried = _moved(homes, chosen[:count], region)
            if Plan(model, tasks, align, progress, tried).place(region) <= limits[region]:
                few = count
            else:
                many = count - 1
        chosen = chosen[:few]
        homes = _moved(homes, chosen, region)
        left = [item for item in left if item not in chosen]
    return homes


def _moved(homes: Homes, chosen: Sequence[Item], region: str) -> Homes:
    storages, scratch = ({i.index for i in chosen if i.scratch == kind} for kind in (False, True))
    return Homes(
        tuple(region if s in storages else home for s, home in enumerate(homes.storages)),
        tuple(region if w in scratch else home for w, home in enumerate(homes.scratch)),
    )
