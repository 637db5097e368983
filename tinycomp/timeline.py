"""Rows in time: which storage each tensor's rows live in, in which order rows are computed, when each is born and dies.

The unit of work is a task, one call of one node; the unit of storage is a row of a storage. A segment of nodes runs
in lockstep: the last node's rows are asked for one by one, and whatever a row lacks is computed just before it. That
is the deepest-ready-first order, and a skip branch runs as late as it can. Nothing is computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinycomp import ops
from tinycomp.ir import Graph, Node, Tensor
from tinycomp.kernel import Access

ARRIVAL = -1  # a task's node: the caller pushes the next input row


@dataclass(frozen=True)
class Storage:
    """Bytes that one tensor and its views share, cut into rows.

    dense: the rows must lie one behind the other, because someone takes them as a block.
    """

    name: str
    rows: int
    row_bytes: int
    dense: bool


@dataclass(frozen=True)
class Worker:
    """A node as the simulation sees it: what each of its calls reads and writes, as (storage, rows).

    needs: for each call the last row of each storage that must be there. scratch: bytes during a call, or for a
    reduction from the first call to the last. takes_over: for each call the (storage, row) that its output row may
    overwrite, if nobody needs it any more.
    """

    node: Node
    calls: int
    reads: tuple[tuple[tuple[int, tuple[int, ...]], ...], ...]
    writes: tuple[tuple[int, tuple[int, ...]], ...]
    needs: tuple[tuple[tuple[int, int], ...], ...]
    scratch: int
    keeps_scratch: bool
    takes_over: tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True)
class Task:
    """Call `call` of worker `worker`, or the arrival of input row `call` where worker is ARRIVAL."""

    worker: int
    call: int


@dataclass(frozen=True)
class Model:
    """A graph in rows. storage_of: index by tensor name (constants have none). producer: worker by storage.

    outputs: what must be whole at the end, the next values of states included. persistent: what states live in from
    one inference to the next, in memory of their own.
    """

    graph: Graph
    storages: tuple[Storage, ...]
    storage_of: Mapping[str, int]
    workers: tuple[Worker, ...]
    producer: Mapping[int, int]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    persistent: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Chosen:
    """A node with the access and the scratch of the kernel that was chosen for it."""

    node: Node
    access: Access
    scratch: int


def model(graph: Graph, chosen: Sequence[Chosen], held: bool, whole: bool = False) -> Model:
    """The graph in rows.

    held: the caller writes the input as a block before each run. whole: every tensor is dense.
    """
    groups = _groups(graph)
    index = {root: i for i, root in enumerate(dict.fromkeys(groups.values()))}
    storage_of = {name: index[root] for name, root in groups.items()}
    members: list[list[Tensor]] = [[] for _ in index]
    for name, i in storage_of.items():
        members[i].append(graph.tensors[name])
    persistent = frozenset(storage_of[s.before] for s in graph.states)
    held_inputs = graph.inputs if held else ()
    blocks = {storage_of[n] for n in (*graph.results, *held_inputs) if n in storage_of} | persistent
    for c in chosen:
        operands = ops.operands(c.node, graph)
        if c.access.kind == "whole":
            blocks.add(storage_of[graph.out(c.node).name])
        blocks |= {storage_of[t.name] for t, taps in zip(operands, c.access.operands, strict=True) if taps is None}
    touched = {t.name for c in chosen for t in (graph.out(c.node), *ops.operands(c.node, graph))}
    storages: list[Storage] = []
    for root, i in index.items():
        rows = max(t.rows for t in members[i])
        size = graph.tensors[root].bytes
        rows = rows if size % rows == 0 else 1
        views = {t.rows for t in members[i] if t.name in touched} - {rows}
        storages.append(Storage(root, rows, size // rows, whole or rows == 1 or bool(views) or i in blocks))
    workers = tuple(_worker(graph, c, storages, storage_of) for c in chosen)
    producer = {storage_of[graph.out(c.node).name]: i for i, c in enumerate(chosen)}
    inputs = tuple(dict.fromkeys(storage_of[n] for n in graph.inputs))
    outputs = dict.fromkeys(storage_of[n] for n in graph.results if n in storage_of)
    outputs = tuple(s for s in outputs if s not in persistent)
    return Model(graph, tuple(storages), storage_of, workers, producer, inputs, outputs, persistent)


def _groups(graph: Graph) -> dict[str, str]:
    """The tensor whose bytes each tensor shares: itself, what it is a view of, or the state whose next value it is."""
    root = {name: name for name in graph.sources}
    for node in graph.nodes:
        operator = ops.operator(node)
        view = operator.view and node.inputs[0] in root
        for name in node.outputs:
            root[name] = root[node.inputs[0]] if view else name
        for before, after in operator.carries:
            root[node.outputs[after]] = root[node.inputs[before]]
    return root


def _rows(t: Tensor, storage: Storage, first: int, count: int = 1) -> tuple[int, ...]:
    """The storage's rows under rows [first, first + count) of one of its tensors."""
    low, high = first * t.row_bytes, (first + count) * t.row_bytes
    return tuple(range(low // storage.row_bytes, -(-high // storage.row_bytes)))


def _worker(graph: Graph, c: Chosen, storages: Sequence[Storage], storage_of: Mapping[str, int]) -> Worker:
    out, operands = graph.out(c.node), ops.operands(c.node, graph)
    target = storage_of[out.name]
    kind = c.access.kind
    calls = c.access.calls(operands[0].rows if operands else 1, out.rows)
    reads: list[tuple[tuple[int, tuple[int, ...]], ...]] = []
    writes: list[tuple[int, tuple[int, ...]]] = []
    for y in range(calls):
        seen: list[tuple[int, tuple[int, ...]]] = []
        for t, taps in zip(operands, c.access.operands, strict=True):
            s = storage_of[t.name]
            if taps is None:
                seen.append((s, tuple(range(storages[s].rows))))
                continue
            found: dict[int, None] = {}
            for k in range(taps.count):
                row = taps.row(y, k)
                if 0 <= row < t.rows:
                    found.update(dict.fromkeys(_rows(t, storages[s], row)))
            seen.append((s, tuple(found)))
        reads.append(tuple(seen))
        first, count = (y, 1) if kind == "window" else (0, out.rows if y + 1 == calls else 0)
        writes.append((target, _rows(out, storages[target], first, count)))
    needs = tuple(tuple((s, max(rows)) for s, rows in call if rows) for call in reads)
    return Worker(c.node, calls, tuple(reads), tuple(writes), needs, c.scratch, kind == "reduce",
                  tuple(_takes_over(graph, c, y, storages, storage_of) for y in range(calls)))  # fmt: skip


def _takes_over(
    graph: Graph, c: Chosen, y: int, storages: Sequence[Storage], storage_of: Mapping[str, int]
) -> tuple[tuple[int, int], ...]:
    """Rows of equal size that call y reads exactly where it writes, in the operator's order of preference."""
    out = graph.out(c.node)
    found: list[tuple[int, int]] = []
    if c.access.kind == "reduce":
        return ()
    operands = {t.name: taps for t, taps in zip(ops.operands(c.node, graph), c.access.operands, strict=True)}
    for k in ops.operator(c.node).inplace:
        t = graph.tensors[c.node.inputs[k]]
        if t.data is not None or t.elements != out.elements or t.row_bytes != out.row_bytes:
            continue
        taps = operands[t.name]
        a, b = storages[storage_of[t.name]], storages[storage_of[out.name]]
        if (a.rows, a.row_bytes) != (b.rows, b.row_bytes):
            continue
        if taps is None and a.rows == 1:
            found.append((storage_of[t.name], 0))
        elif taps is not None and (taps.count, taps.stride, taps.pad) == (1, 1, 0) and t.rows == a.rows:
            found.append((storage_of[t.name], y))
    return tuple(found)


def readers(model: Model) -> list[list[int]]:
    """For each storage and row how many calls read it; outputs and states have one more, the caller."""
    counts = [[0] * s.rows for s in model.storages]
    for worker in model.workers:
        for call in worker.reads:
            for s, rows in call:
                for row in rows:
                    counts[s][row] += 1
    for s in (*model.outputs, *model.persistent):
        counts[s] = [n + 1 for n in counts[s]]
    return counts


class Simulation:
    """One walk through a stretch of workers [first, end), row by row.

    Storages that earlier workers produced are complete; with `pushed` the rows of that input arrive one at a time.
    """

    def __init__(self, model: Model, first: int, end: int, pushed: int | None = None) -> None:
        self.model, self.first, self.end, self.pushed = model, first, end, pushed
        self.made = [math.inf] * len(model.storages)
        for w in range(first, end):
            self.made[model.workers[w].writes[0][0]] = 0
        if pushed is not None:
            self.made[pushed] = 0
        self.next = [0] * (end - first)
        self.tasks: list[Task] = []

    def sinks(self) -> list[int]:
        """Workers whose output the stretch must complete: read later, or by the caller, or by nobody."""
        used_inside = {s for w in range(self.first, self.end) for call in self.model.workers[w].reads for s, _ in call}
        used_later = {
            s for w in range(self.end, len(self.model.workers)) for call in self.model.workers[w].reads for s, _ in call
        }
        wanted = used_later | set(self.model.outputs)
        found: list[int] = []
        for w in range(self.first, self.end):
            s = self.model.workers[w].writes[0][0]
            if s in wanted or s not in used_inside:
                found.append(w)
        return found

    def run(self) -> list[Task]:
        """The tasks of the stretch: every row of every sink, and no row that nobody needs."""
        if self.pushed is not None:
            self._arrive(self.pushed)  # what needs no row, padding above the image, waits for the first push too
        for w in self.sinks():
            while self.next[w - self.first] < self.model.workers[w].calls:
                self._pull(w)
        if self.pushed is not None:
            while self.made[self.pushed] < self.model.storages[self.pushed].rows:
                self._arrive(self.pushed)
        return self.tasks

    def _arrive(self, s: int) -> None:
        self.tasks.append(Task(ARRIVAL, int(self.made[s])))
        self.made[s] += 1

    def _pull(self, worker: int) -> None:
        """Make the worker's next call, after everything that it lacks."""
        workers, made, first = self.model.workers, self.made, self.first
        stack = [worker]
        while stack:
            w = stack[-1]
            y = self.next[w - first]
            for s, row in workers[w].needs[y]:
                if made[s] <= row:
                    if s == self.pushed:
                        self._arrive(s)
                    else:
                        stack.append(self.model.producer[s])
                    break
            else:
                self.tasks.append(Task(w, y))
                self.next[w - first] = y + 1
                s, rows = workers[w].writes[y]
                if rows:
                    made[s] = rows[-1] + 1
                stack.pop()


def whole_tensors(model: Model) -> tuple[int, ...]:
    """Bytes alive at each worker where tensors are kept whole, scratch and states aside."""
    last: dict[int, int] = {}
    born: dict[int, int] = dict.fromkeys(model.inputs, 0)
    for w, worker in enumerate(model.workers):
        born[worker.writes[0][0]] = w
        last[worker.writes[0][0]] = w
        last |= dict.fromkeys((s for call in worker.reads for s, _ in call), w)
    last |= dict.fromkeys(model.outputs, len(model.workers))
    sizes = [0 if i in model.persistent else s.rows * s.row_bytes for i, s in enumerate(model.storages)]
    layers = range(max(len(model.workers), 1))
    return tuple(sum(sizes[s] for s, first in born.items() if first <= w <= last.get(s, 0)) for w in layers)
