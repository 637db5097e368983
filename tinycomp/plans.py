"""Which kernels run, and whether layer after layer or row by row: the fastest plan that fits.

Streaming a held input costs less than half a percent, which counts as equally fast. So with equal kernels the smaller
plan is taken, and it is the kernels that decide the speed (`candidates` ranks them), and those that are fast want
scratch. Where the plan of the fastest kernels does not fit, kernels give up scratch one after another where memory is
fullest, each time the one that loses least speed for what it frees, until the plan fits. How far it goes beyond that is
the recipe's choice: `speed` no further, `size` to the smallest plan, `balanced` to the plan of the least work² · arena:
one percent of time for two percent of memory. Slow memory is the last resort, with the kernels that are preferred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinycomp import candidates, footprint, regions, segments, timeline
from tinycomp.candidates import Choice
from tinycomp.cores import Core
from tinycomp.errors import Unsupported
from tinycomp.ir import Graph, Node
from tinycomp.layout import Layout, lay_out, live_at
from tinycomp.program import Kind, Recipe, Tried

COUNTER_BYTES = 2  # of a call counter in a pushed build
MEMORY_FOR_TIME = 2  # percent of arena that `balanced` gives for one percent of work


@dataclass(frozen=True, eq=False)
class Plan:
    """Kernels, rows, the order of their computation, and their addresses. fits: within the rooms it was made for.

    alone: bytes of arena with everything in SRAM. passed_over: the larger plan of the other kind with these kernels.
    constants: bytes of constant arrays, where SRAM holds them too; else 0.
    """

    kind: Kind
    choices: tuple[Choice, ...]
    model: timeline.Model
    cut: tuple[segments.Segment, ...]
    layout: Layout
    alone: int
    fits: bool = True
    passed_over: Plan | None = None
    constants: int = 0

    @property
    def progress(self) -> int:
        """Bytes of the counters of a pushed build."""
        return progress_bytes(self.kind, self.cut)

    @property
    def ram(self) -> int:
        """Bytes of SRAM with everything in it."""
        return self.alone + self.constants

    @property
    def work(self) -> float:
        """Predicted work of an inference, infinite where that of some kernel is not known."""
        return sum((c.work if c.work is not None else math.inf) for c in self.choices)


def progress_bytes(kind: Kind, cut: Sequence[segments.Segment]) -> int:
    """Bytes of the counters that tell a pushed build how far it is; none where the input is held."""
    return COUNTER_BYTES * cut[0].end if kind == "rows pushed" else 0


def settle(
    nodes: Sequence[Node],
    graph: Graph,
    recipe: Recipe,
    features: frozenset[str],
    rooms: regions.Rooms | None,
    core: Core | None = None,
) -> tuple[Plan, tuple[Tried, ...]]:
    """The plan, and all that were looked at. rooms: None for as much SRAM as it needs. core: see `candidates.of`.

    Where none fits, the smallest, for its figures to be told. Raises Unsupported where an operator has no kernel for
    its shapes or dtypes, or rows cannot be pushed.
    """
    maker = _Maker(graph, recipe, features, rooms)
    rows = [candidates.of(n, graph, recipe, features, core) for n in nodes]
    if recipe.opt == "size" and core is not None:
        lean = footprint.least(rows, graph, core)
        rows = [[first, *(c for c in row if c is not first)] for first, row in zip(lean, rows, strict=True)]
    fastest = tuple(row[0] for row in rows)
    made = [maker.plan(fastest)]
    if recipe.opt == "balanced" and made[0].work == math.inf:
        recipe = replace(recipe, opt="speed")  # what is not known cannot be weighed
    if recipe.opt == "speed" and made[0].fits:
        return made[0], _tried(made, made[0], fastest)
    smallest = tuple(min(row, key=lambda c: c.leaf.scratch + maker.in_ram * c.stored) for row in rows)
    if smallest == fastest:
        taken = made[0] if made[0].fits else maker.anywhere(made[0])
        return taken, _tried([taken], taken, fastest)
    least = maker.plan(smallest)
    while not _settled(recipe, made, least):
        leaner = _leaner(made[-1], rows, maker.in_ram)
        if leaner is None or leaner == smallest:
            break
        made.append(maker.plan(leaner))
    made.append(least)
    order = sorted(made, key=lambda plan: _worth(recipe, plan, least))
    taken = next((plan for plan in order if plan.fits), None)
    return (taken, _tried(made, taken, fastest)) if taken is not None else _last_resort(maker, made, order[0], fastest)


def _worth(recipe: Recipe, plan: Plan, least: Plan) -> float:
    """What the recipe wants least of, if the plan fits."""
    if recipe.opt == "size":
        return max(plan.ram, least.ram)
    return plan.work if recipe.opt == "speed" else plan.work**MEMORY_FOR_TIME * plan.ram


def _settled(recipe: Recipe, made: Sequence[Plan], least: Plan) -> bool:
    """No plan with less scratch than the last one can be better, since it is slower and not smaller than the least."""
    fits = [plan for plan in made if plan.fits]
    if not fits or recipe.opt == "speed":
        return bool(fits)
    bound = replace(made[-1], alone=least.alone, constants=least.constants)
    return min(_worth(recipe, plan, least) for plan in fits) <= _worth(recipe, bound, least)


def _last_resort(
    maker: _Maker, made: list[Plan], preferred: Plan, fastest: tuple[Choice, ...]
) -> tuple[Plan, tuple[Tried, ...]]:
    """Where fast memory has room for none: the preferred plan in all regions that there are, else the smallest."""
    taken = maker.anywhere(preferred)
    if not taken.fits:
        preferred = min(made, key=lambda plan: plan.ram)
        taken = maker.anywhere(preferred)
    return taken, _tried([taken if plan is preferred else plan for plan in made], taken, fastest)


def _tried(made: Sequence[Plan], taken: Plan, fastest: tuple[Choice, ...]) -> tuple[Tried, ...]:
    found: list[Tried] = []
    for plan in made:
        swapped = sum(a is not b for a, b in zip(plan.choices, fastest, strict=True))
        found.append(Tried(plan.kind, swapped, plan.alone, plan.fits, plan is taken))
        if (other := plan.passed_over) is not None:
            found.append(Tried(other.kind, swapped, other.alone, other.fits, False))
    return tuple(found)


def _leaner(plan: Plan, rows: Sequence[Sequence[Choice]], in_ram: bool) -> tuple[Choice, ...] | None:
    """The plan's choices, but for one that frees bytes where memory is fullest; None where none does.

    What it frees is scratch that is alive then and, `in_ram`, constants. Of all ways the one that adds least work for
    each byte.
    """
    used = live_at(plan.layout, max((r.end for r in plan.layout.residents), default=0) + 1)
    time = max(range(len(used)), key=lambda t: (used[t], -t))
    fullest = {r.name for r in plan.layout.residents if r.start <= time < r.end}
    best: tuple[tuple[float, int], int, Choice] | None = None
    for i, (now, row) in enumerate(zip(plan.choices, rows, strict=True)):
        alive = f"{now.node.name} scratch" in fullest
        for c in row:
            freed = alive * (now.leaf.scratch - c.leaf.scratch) + in_ram * (now.stored - c.stored)
            if freed > 0:
                more = math.inf if c.work is None or now.work is None else max(0.0, c.work - now.work)
                price = (more / freed, -freed)
                best = min(best or (price, i, c), (price, i, c), key=lambda way: way[0])
    return None if best is None else (*plan.choices[: best[1]], best[2], *plan.choices[best[1] + 1 :])


class _Maker:
    """Makes plans of one graph on one board."""

    def __init__(self, graph: Graph, recipe: Recipe, features: frozenset[str], rooms: regions.Rooms | None) -> None:
        self.graph, self.recipe, self.rooms = graph, recipe, rooms
        self.in_ram = rooms is not None and rooms.constants
        wide = any(t.dtype == "int64" and t.data is None for t in graph.tensors.values())
        # vectors are faster where they do not cross a line; loads of an int64 may have to be aligned
        self.align = 16 if "mve" in features else 8 if wide else 4

    def plan(self, chosen: tuple[Choice, ...]) -> Plan:
        """The smallest plan of these kernels, in the fast regions.

        Streaming is not kept where it needs as much memory as layer after layer does: loops are simpler.
        """
        nodes = [timeline.Chosen(c.node, c.access, c.leaf.scratch) for c in chosen]
        if self.recipe.stream == "push":
            model = timeline.model(self.graph, nodes, held=False)
            _require_rows(model)
            cut = segments.best(model, pushed=model.inputs[0])
            made = [self._laid_out("rows pushed", chosen, model, cut)]
        else:
            whole = timeline.model(self.graph, nodes, held=True, whole=True)
            made = [self._laid_out("layer by layer", chosen, whole, segments.layer_by_layer(whole))]
            if self.recipe.stream != "off":
                model = timeline.model(self.graph, nodes, held=True)
                made.append(self._laid_out("streamed", chosen, model, segments.best(model)))
        taken = min(made, key=lambda plan: plan.alone)
        other = next((plan for plan in made if plan is not taken), None)
        if other is not None and self.rooms is not None:
            other = replace(other, fits=regions.fits(other.layout, False, self.rooms.beside(other.constants)))
        return self._spread(replace(taken, passed_over=other), self.rooms.fast if self.rooms else None)

    def anywhere(self, plan: Plan) -> Plan:
        """The plan in all regions that there are, slow ones too."""
        return self._spread(plan, self.rooms)

    def _laid_out(
        self, kind: Kind, chosen: tuple[Choice, ...], model: timeline.Model, cut: list[segments.Segment]
    ) -> Plan:
        layout = lay_out(model, cut, self.align, progress_bytes(kind, cut))
        constants = candidates.constants_bytes(chosen, self.graph) if self.in_ram else 0
        return Plan(kind, chosen, model, tuple(cut), layout, layout.size, constants=constants)

    def _spread(self, plan: Plan, rooms: regions.Rooms | None) -> Plan:
        if rooms is None:
            return plan
        rooms = rooms.beside(plan.constants)
        alone = plan.layout if not plan.layout.others else lay_out(plan.model, plan.cut, self.align, plan.progress)
        layout = regions.spread(alone, plan.model, plan.cut, self.align, plan.progress, rooms)
        return replace(plan, layout=layout, fits=regions.fits(layout, plan.progress > 0, rooms))


def _require_rows(model: timeline.Model) -> None:
    """Raise Unsupported unless the only input can arrive row by row."""
    graph = model.graph
    if len(graph.inputs) != 1:
        raise Unsupported(
            f"the model has {len(graph.inputs)} inputs ({', '.join(graph.inputs)}); rows can be pushed into one",
            where="--stream push",
            fix="--stream on holds the inputs and streams the rest",
        )
    s = model.inputs[0]
    storage = model.storages[s]
    reader = next((w.node for w in model.workers if any(r == s for call in w.reads for r, _ in call)), None)
    if reader is None:
        raise Unsupported(f"no layer reads the input {graph.inputs[0]!r}, so that no row has anywhere to go",
                          where="--stream push", fix="build without --stream push")  # fmt: skip
    first = f"{reader.name} ({reader.op})"
    if storage.rows < 2 or storage.dense or s in model.outputs:
        size = f"; it has a single row of {storage.row_bytes} bytes" if storage.rows < 2 else ""
        raise Unsupported(
            f"{first} needs the whole input {graph.inputs[0]!r} at once{size}",
            where="--stream push",
            fix="--stream on holds the input and streams the rest",
        )
