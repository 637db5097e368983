"""Where to cut a graph into segments that stream: the cuts of least peak, and the tasks that they make.

A cut may stand where a single storage is alive, so that segments run one after the other and each one's memory is its
own rows, what it still needs of its input, and what it has made of its output. The largest segment is the peak, so the
best cuts are a minimax shortest path over the places where a cut may stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinycomp.timeline import ARRIVAL, Model, Simulation, Task, readers


@dataclass(frozen=True)
class Segment:
    """Workers [first, end) in lockstep; `peak` is the most bytes alive at one of its tasks."""

    first: int
    end: int
    tasks: tuple[Task, ...]
    peak: int

    @property
    def streamed(self) -> bool:
        """More than one worker, or an input that arrives: needs an order, not a loop."""
        return self.end - self.first > 1 or any(t.worker == ARRIVAL for t in self.tasks)


def layer_by_layer(model: Model) -> list[Segment]:
    """One segment a worker."""
    return [_segment(model, i, i + 1, None, None) for i in range(len(model.workers))]


def best(model: Model, pushed: int | None = None) -> list[Segment]:
    """The cuts of least peak, and of those the ones that leave the most layers to plain loops.

    `pushed`: the storage of the input whose rows arrive one at a time; it belongs to the first segment.
    """
    cuts = _cuts(model, pushed)
    costs = _Costs(model, pushed)
    last = len(cuts) - 1
    peak = [0] + [1 << 62] * last
    for j in range(1, last + 1):
        for i in range(j - 1, -1, -1):
            if peak[i] < peak[j]:
                peak[j] = min(peak[j], max(peak[i], costs.peak(cuts[i], cuts[j], peak[j])))
    limit = peak[last]
    streamed, back = [0] + [1 << 62] * last, [0] * (last + 1)
    for j in range(1, last + 1):
        for i in range(j - 1, -1, -1):
            own = 0 if cuts[j] - cuts[i] == 1 else costs.calls(cuts[i], cuts[j])
            if streamed[i] + own < streamed[j] and costs.peak(cuts[i], cuts[j], limit + 1) <= limit:
                streamed[j], back[j] = streamed[i] + own, i
    found: list[Segment] = []
    j = last
    while j > 0:
        found.append(costs.segment(cuts[back[j]], cuts[j]))
        j = back[j]
    return found[::-1]


def _cuts(model: Model, pushed: int | None) -> list[int]:
    """Positions between workers where one storage is alive, the two ends included."""
    last = [-1] * len(model.storages)
    for w, worker in enumerate(model.workers):
        for call in worker.reads:
            for s, _ in call:
                last[s] = w
    for s in model.outputs:
        last[s] = len(model.workers)
    born = {model.workers[w].writes[0][0]: w for w in range(len(model.workers))}
    found = [0]
    for p in range(1, len(model.workers)):
        alive = [s for s in range(len(model.storages)) if born.get(s, -1) < p <= last[s] and s not in model.persistent]
        if len(alive) <= 1 and (pushed is None or pushed not in alive):
            found.append(p)
    return [*found, len(model.workers)]


class _Costs:
    """Peaks of stretches, computed when asked for. A peak above the caller's limit is only known to be above it."""

    def __init__(self, model: Model, pushed: int | None) -> None:
        self._model, self._pushed = model, pushed
        self._readers = readers(model)
        self._known: dict[tuple[int, int], tuple[int, bool]] = {}

    def calls(self, first: int, end: int) -> int:
        return sum(w.calls for w in self._model.workers[first:end])

    def peak(self, first: int, end: int, limit: int) -> int:
        """The stretch's peak if it is below `limit`, else some number that is not."""
        peak, exact = self._known.get((first, end), (0, False))
        if not exact and peak < limit:
            found = _segment(self._model, first, end, self._input(first), limit, self._readers)
            peak, exact = found.peak, found.peak < limit
            self._known[first, end] = (peak, exact)
        return peak

    def segment(self, first: int, end: int) -> Segment:
        return _segment(self._model, first, end, self._input(first), None, self._readers)

    def _input(self, first: int) -> int | None:
        return self._pushed if first == 0 else None


def _segment(model: Model, first: int, end: int, pushed: int | None, limit: int | None,
             counts: list[list[int]] | None = None) -> Segment:  # fmt: skip
    tasks = Simulation(model, first, end, pushed).run()
    peak = _peak(model, first, end, tasks, counts if counts is not None else readers(model), limit, pushed)
    return Segment(first, end, tuple(tasks), peak)


def _peak(model: Model, first: int, end: int, tasks: Sequence[Task], counts: list[list[int]], limit: int | None,
          pushed: int | None) -> int:  # fmt: skip
    """Most bytes alive at one task, what is alive at the start included, states left out. Stops early above `limit`."""
    left: dict[tuple[int, int], int] = {}
    live = peak = _at_start(model, first, end, pushed)
    held = 0
    running: set[int] = set()
    for task in tasks:
        if task.worker == ARRIVAL:
            assert pushed is not None
            row = model.storages[pushed].row_bytes
            live += row
            peak = max(peak, live + held)
            if counts[pushed][task.call] == 0:
                live -= row
            continue
        worker = model.workers[task.worker]
        if worker.keeps_scratch and task.worker not in running:
            running.add(task.worker)
            held += worker.scratch
        s, rows = worker.writes[task.call]
        size = 0 if s in model.persistent else model.storages[s].row_bytes
        dying, reused = 0, False
        for read, read_rows in worker.reads[task.call]:
            for row in read_rows:
                key = (read, row)
                n = left[key] = left.get(key, counts[read][row]) - 1
                if n == 0:
                    dying += model.storages[read].row_bytes
                    reused = reused or key in worker.takes_over[task.call]
        live += size * len(rows)
        peak = max(peak, live + held + (0 if worker.keeps_scratch else worker.scratch) - (size if reused else 0))
        live -= dying + size * sum(1 for row in rows if counts[s][row] == 0)
        if worker.keeps_scratch and task.call + 1 == worker.calls:
            held -= worker.scratch
        if limit is not None and peak >= limit:
            return peak
    return peak


def _at_start(model: Model, first: int, end: int, pushed: int | None) -> int:
    """Bytes of storages made before the stretch that it or something later reads, and held inputs."""
    inside = {model.workers[w].writes[0][0] for w in range(first, len(model.workers))}
    used = {s for w in range(first, len(model.workers)) for call in model.workers[w].reads for s, _ in call}
    alive = (used | set(model.outputs)) - inside - model.persistent
    if pushed is not None:
        alive.discard(pushed)
    return sum(model.storages[s].rows * model.storages[s].row_bytes for s in alive)
