"""From rows in time to addresses: lifetimes, overwriting in place, placement, and the independent check of it all.

Each memory region is an arena of its own; most programs have one, in SRAM. Which region a storage or a scratch lives in
is given (regions.py decides it), and a row overwrites another in place only within a region.
Time 0 is the caller writing inputs, times 1 … n are the tasks, time n + 1 is the caller reading outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tinycomp import planner
from tinycomp.planner.blocks import Block, Piece, live_bytes, place_blocks
from tinycomp.planner.replay import Act, Span, replay
from tinycomp.segments import Segment
from tinycomp.timeline import ARRIVAL, Model, Task

SMALL = 200  # blocks up to which whole lifetimes are worth a search of their own,
EFFORT = 400_000  # and of how much work: ten times as much has never gained a byte in the reference models

SRAM = "sram"  # the region of every board

Unit = tuple[int, int]  # storage, row


@dataclass
class Life:
    """When a row is written first and read last, as the half-open [start, end) of times."""

    start: int
    end: int


@dataclass(frozen=True)
class Resident:
    """Bytes [at, at + size) that `name` (a storage or a scratch) occupies in [start, end). row: None for scratch."""

    name: str
    row: int | None
    at: int
    size: int
    start: int
    end: int
    region: str = SRAM


@dataclass(frozen=True)
class Homes:
    """The region of each storage and of each worker's scratch."""

    storages: tuple[str, ...]
    scratch: tuple[str, ...]

    @staticmethod
    def one(model: Model) -> Homes:
        """Everything in SRAM."""
        return Homes((SRAM,) * len(model.storages), (SRAM,) * len(model.workers))


@dataclass(frozen=True)
class Layout:
    """Addresses of a program's rows and scratch, each in its region.

    row_at: by storage and row; a row that is never written has the address that its storage's shape gives it, or 0.
    scratch_at: by worker. progress_at: where a pushed build keeps its counters, in SRAM. size: bytes of arena in SRAM.
    lower_bound: most bytes alive at once, in all regions. others: bytes of arena in the regions besides SRAM. states:
    bytes of the block in SRAM that holds what survives an inference.
    """

    row_at: tuple[tuple[int, ...], ...]
    scratch_at: dict[int, int]
    progress_at: int | None
    residents: tuple[Resident, ...]
    size: int
    lower_bound: int
    homes: Homes
    others: Mapping[str, int] = field(default_factory=dict[str, int])
    states: int = 0

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of arena by region, SRAM first."""
        return {SRAM: self.size, **self.others}


def lay_out(
    model: Model, segments: Sequence[Segment], align: int, progress: int = 0, homes: Homes | None = None
) -> Layout:
    """Place every row and scratch of the segments' tasks; `progress` bytes stay for the whole run.

    homes: None puts everything into SRAM. Raises PlannerError should the placement not survive a replay of the tasks.
    """
    tasks = [task for segment in segments for task in segment.tasks]
    homes = homes or Homes.one(model)
    plan = Plan(model, tasks, align, progress, homes)
    sizes = {region: plan.place(region) for region in dict.fromkeys([SRAM, *sorted(plan.regions)])}
    size, bound = sizes.pop(SRAM), int(live_bytes(plan.blocks, len(tasks) + 2).max(initial=0))
    row_at, scratch_at = plan.row_at(), plan.scratch_at()
    # Pieces, not lives: a row that another overwrites in place is not counted beside it.
    pieces = {unit: piece for cluster in plan.clusters for unit, piece in cluster.pieces.items()}
    residents = [
        Resident(model.storages[s].name, row, row_at[s][row], model.storages[s].row_bytes, p.start, p.end,
                 homes.storages[s])
        for (s, row), life in plan.lives.items() for p in (pieces.get((s, row), life),)
    ] + [
        Resident(f"{model.workers[w].node.name} scratch", None, scratch_at[w], p.size, p.start, p.end, homes.scratch[w])
        for w, block in plan.scratch.items()
        for p in block.pieces
    ]  # fmt: skip
    progress_at = plan.offsets[-1] if progress else None
    if progress_at is not None:
        residents.append(Resident("call counters", None, progress_at, progress, 0, plan.times))
    layout = Layout(
        row_at, scratch_at, progress_at, tuple(residents),
        max(size, align) if sizes else size, bound, homes, sizes, plan.states,
    )  # fmt: skip
    check(model, tasks, layout)
    return layout


class Plan:
    """The blocks of a program in their regions. offsets: those of the blocks, once `place` has placed their region."""

    def __init__(self, model: Model, tasks: Sequence[Task], align: int, progress: int, homes: Homes) -> None:
        self.model, self.times = model, len(tasks) + 2
        self.lives = _lives(model, tasks)
        self.clusters = _clusters(model, tasks, self.lives, homes)
        self.scratch = _scratch(model, tasks, align)
        self._state_at, self.states = state_block(model, align)
        always = {"states": self.states, "progress": progress}
        fixed = [Block(name, (Piece(0, size, 0, self.times),), align) for name, size in always.items() if size]
        rows = [c.block(f"block {i}", align) for i, c in enumerate(self.clusters)]
        self.blocks = [*rows, *self.scratch.values(), *fixed]
        self.regions = [homes.storages[next(iter(c.where))[0]] for c in self.clusters]
        self.regions += [homes.scratch[w] for w in self.scratch] + [SRAM for _ in fixed]
        self.offsets = [0] * len(self.blocks)

    def place(self, region: str) -> int:
        """Place the blocks of a region; returns the bytes of its arena."""
        members = [i for i, own in enumerate(self.regions) if own == region]
        offsets, size = _placed([self.blocks[i] for i in members], self.times)
        for i, at in zip(members, offsets, strict=True):
            self.offsets[i] = at
        return size

    def row_at(self) -> tuple[tuple[int, ...], ...]:
        """The addresses of each storage's rows."""
        found = [[0] * s.rows for s in self.model.storages]
        for cluster, at in zip(self.clusters, self.offsets, strict=False):
            for (s, row), relative in cluster.where.items():
                found[s][row] = at + relative
        for s, relative in self._state_at.items():
            at = self.offsets[len(self.clusters) + len(self.scratch)] + relative
            found[s] = [at + row * self.model.storages[s].row_bytes for row in range(self.model.storages[s].rows)]
        for s, storage in enumerate(self.model.storages):
            known = [row for row in range(storage.rows) if (s, row) in self.lives and s not in self._state_at]
            if storage.dense and known:
                base = found[s][known[0]] - known[0] * storage.row_bytes
                found[s] = [base + row * storage.row_bytes for row in range(storage.rows)]
        return tuple(tuple(rows) for rows in found)

    def scratch_at(self) -> dict[int, int]:
        """The address of each worker's scratch."""
        return {w: self.offsets[len(self.clusters) + i] for i, w in enumerate(self.scratch)}


def state_block(model: Model, align: int) -> tuple[dict[int, int], int]:
    """Offsets of the storages of states in the one block that holds them, and its bytes."""
    at, offsets = 0, dict[int, int]()
    for s in sorted(model.persistent):
        offsets[s] = at
        at = -(-(at + model.storages[s].rows * model.storages[s].row_bytes) // align) * align
    return offsets, at


def _lives(model: Model, tasks: Sequence[Task]) -> dict[Unit, Life]:
    lives: dict[Unit, Life] = {}
    always = {(s, row) for s in model.persistent for row in range(model.storages[s].rows)}
    arriving = {task.call for task in tasks if task.worker == ARRIVAL}
    for s in model.inputs:
        if not arriving:
            lives |= {(s, row): Life(0, 1) for row in range(model.storages[s].rows)}
    for time, task in enumerate(tasks, 1):
        if task.worker == ARRIVAL:
            lives[model.inputs[0], task.call] = Life(time, time + 1)
            continue
        worker = model.workers[task.worker]
        for s, rows in worker.reads[task.call]:
            for row in rows if s not in model.persistent else ():
                lives[s, row].end = time + 1
        s, rows = worker.writes[task.call]
        for row in rows if s not in model.persistent else ():
            lives[s, row] = Life(time, time + 1)
    for s in model.outputs:
        for row in range(model.storages[s].rows):
            lives[s, row].end = len(tasks) + 2
    return lives | {unit: Life(0, len(tasks) + 2) for unit in always}


class _Cluster:
    """Rows whose addresses hang together: the rows of a dense storage, and rows that overwrite one another."""

    def __init__(self) -> None:
        self.where: dict[Unit, int] = {}
        self.pieces: dict[Unit, Piece] = {}

    def block(self, name: str, align: int) -> Block:
        lowest = min(self.where.values())
        self.where = {unit: at - lowest for unit, at in self.where.items()}
        return Block(name, tuple(Piece(self.where[u], p.size, p.start, p.end) for u, p in self.pieces.items()), align)


def _clusters(model: Model, tasks: Sequence[Task], lives: dict[Unit, Life], homes: Homes) -> list[_Cluster]:
    of: dict[Unit, _Cluster] = {}
    for s, storage in enumerate(model.storages):
        if s in model.persistent:
            continue
        shared = _Cluster()
        for row in range(storage.rows):
            if (s, row) in lives:
                cluster = shared if storage.dense else _Cluster()
                life = lives[s, row]
                cluster.where[s, row] = row * storage.row_bytes if storage.dense else 0
                cluster.pieces[s, row] = Piece(0, storage.row_bytes, life.start, life.end)
                of[s, row] = cluster
    for time, task in enumerate(tasks, 1):
        if task.worker != ARRIVAL:
            worker = model.workers[task.worker]
            target, rows = worker.writes[task.call]
            for source in worker.takes_over[task.call]:
                if homes.storages[source[0]] != homes.storages[target]:
                    continue
                if len(rows) == 1 and lives[source].end == time + 1 and _join(of, source, (target, rows[0]), time):
                    break
    return list(dict.fromkeys(of.values()))


def _join(of: dict[Unit, _Cluster], source: Unit, target: Unit, time: int) -> bool:
    """Give the target row the source row's address from `time` on; False where their clusters do not allow it."""
    a, b = of[source], of[target]
    shift = a.where[source] - b.where[target]
    if a is b:
        if shift != 0:
            return False
        a.pieces[source] = _until(a.pieces[source], time)
        return True
    if len(b.where) > 1 and any(p.start < q.end and q.start < p.end and a.where[u] < b.where[v] + shift + q.size
                                and b.where[v] + shift < a.where[u] + p.size and (u, v) != (source, target)
                                and not (_successive(u, v, source, target) and p.end == q.start + 1)
                                for u, p in a.pieces.items() for v, q in b.pieces.items()):  # fmt: skip
        return False
    a.pieces[source] = _until(a.pieces[source], time)
    for unit, at in b.where.items():
        a.where[unit] = at + shift
        a.pieces[unit] = b.pieces[unit]
        of[unit] = a
    return True


def _successive(u: Unit, v: Unit, source: Unit, target: Unit) -> bool:
    """Rows of the two storages that lie on one another, as source and target do.

    Where the one dies in the very task that makes the other, a later join will settle them.
    """
    return (u[0], v[0]) == (source[0], target[0]) and u[1] - v[1] == source[1] - target[1]


def _until(piece: Piece, time: int) -> Piece:
    return Piece(piece.offset, piece.size, piece.start, time)


def _scratch(model: Model, tasks: Sequence[Task], align: int) -> dict[int, Block]:
    """Scratch by worker: during each call, or for a reduction from the first call to the last."""
    times: dict[int, list[int]] = {}
    for time, task in enumerate(tasks, 1):
        if task.worker != ARRIVAL and model.workers[task.worker].scratch:
            times.setdefault(task.worker, []).append(time)
    blocks: dict[int, Block] = {}
    for w, found in sorted(times.items()):
        worker = model.workers[w]
        spans = [(found[0], found[-1] + 1)] if worker.keeps_scratch else _runs(found)
        pieces = tuple(Piece(0, worker.scratch, a, b) for a, b in spans)
        blocks[w] = Block(f"{worker.node.name} scratch", pieces, align)
    return blocks


def _runs(times: Sequence[int]) -> list[tuple[int, int]]:
    """Half-open runs of consecutive times."""
    runs: list[tuple[int, int]] = []
    for t in times:
        if runs and runs[-1][1] == t:
            runs[-1] = (runs[-1][0], t + 1)
        else:
            runs.append((t, t + 1))
    return runs


def _placed(blocks: Sequence[Block], times: int) -> tuple[list[int], int]:
    """Offsets and arena bytes: rows placed one by one, or whole lifetimes where that is smaller."""
    found = place_blocks(blocks, times)
    if found.size > found.lower_bound and len(blocks) <= SMALL:
        buffers = [planner.Buffer(str(i), b.size, b.start, b.end, b.align) for i, b in enumerate(blocks)]
        whole = planner.place(buffers, effort=EFFORT)
        if whole.size < found.size:
            planner.check(buffers, whole)
            return [whole.offsets[str(i)] for i in range(len(blocks))], whole.size
    return list(found.offsets), found.size


def check(model: Model, tasks: Sequence[Task], layout: Layout) -> None:
    """Replay the tasks on the layout. Raises PlannerError at the first row that is not there when it is read."""
    first = [0]
    for s in model.storages:
        first.append(first[-1] + s.rows)

    def span(s: int, row: int) -> Span:
        return Span(
            first[s] + row,
            layout.row_at[s][row],
            model.storages[s].row_bytes,
            f"row {row} of {model.storages[s].name!r}",
            layout.homes.storages[s],
        )

    pushed = any(task.worker == ARRIVAL for task in tasks)
    states = [span(s, row) for s in sorted(model.persistent) for row in range(model.storages[s].rows)]
    held = () if pushed else model.inputs
    given = [*states, *(span(s, row) for s in held for row in range(model.storages[s].rows))]
    acts: list[Act] = []
    calls: dict[int, int] = {}
    for task in tasks:
        if task.worker == ARRIVAL:
            acts.append(Act(f"input row {task.call}", (), (), (span(model.inputs[0], task.call),)))
            continue
        worker = model.workers[task.worker]
        reads = [span(s, row) for s, rows in worker.reads[task.call] for row in rows]
        s, rows = worker.writes[task.call]
        scratch: tuple[Span, ...] = ()
        if worker.scratch:
            mine = Span(
                first[-1] + task.worker, layout.scratch_at[task.worker], worker.scratch, f"{worker.node.name} scratch",
                layout.homes.scratch[task.worker],
            )  # fmt: skip
            scratch = (mine,)
            if worker.keeps_scratch and calls.get(task.worker):
                reads.append(mine)
        calls[task.worker] = calls.get(task.worker, 0) + 1
        acts.append(Act(worker.node.name, tuple(reads), scratch, tuple(span(s, row) for row in rows)))
    wanted = [span(s, row) for s in model.outputs for row in range(model.storages[s].rows)]
    replay(layout.sizes, given, acts, [*states, *wanted])


def live_at(layout: Layout, times: int, region: str | None = None) -> list[int]:
    """Bytes that hold something at each time, in all regions or in one."""
    residents = [r for r in layout.residents if region in (None, r.region)]
    blocks = [Block("", (Piece(0, r.size, r.start, r.end),), 1) for r in residents]
    return live_bytes(blocks, times).tolist()
