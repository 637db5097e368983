"""Graph + Recipe + core features -> Program: kernels chosen, constants packed, every row given its address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tinycomp import candidates, ops, plans, regions, registers, rules, segments, timeline
from tinycomp.candidates import Choice
from tinycomp.cores import Core
from tinycomp.errors import BadInput
from tinycomp.ir import Array, Graph, Node, Tensor
from tinycomp.kernel import Const
from tinycomp.layout import Layout
from tinycomp.program import Data, Function, Operand, Place, Program, Recipe, Register, Run, Step
from tinycomp.rewrite import apply_rules

ARENA_ALIGN = 16


def lower(
    graph: Graph,
    recipe: Recipe,
    features: frozenset[str] = frozenset(),
    rooms: regions.Rooms | None = None,
    core: Core | None = None,
) -> Program:
    """The program for a graph whose nodes are in the order in which they shall run.

    rooms: the memory regions that it may use, None for as much SRAM as it needs. What fits none of them is lowered too,
    with as small an arena as there is. core: whose predicted work ranks kernels and plans; None where the order of the
    operators' tables shall.

    Raises Unsupported where an operator has no kernel for its shapes or dtypes, or rows cannot be pushed.
    """
    graph, _ = apply_rules(graph, rules.NEEDED)
    graph = registers.settled(graph)
    nodes = tuple(n for n in graph.nodes if not ops.operator(n).view)
    plan, tried = plans.settle(nodes, graph, recipe, features, rooms, core)
    chosen, model, cut, layout = plan.choices, plan.model, plan.cut, plan.layout
    functions = _functions(chosen, share=recipe.opt == "size")
    places = {name: _place(graph.tensors[name], model, layout) for name in model.storage_of}
    store, steps = _Store(), list[Step]()
    for i, (node, choice, function) in enumerate(zip(nodes, chosen, functions, strict=True)):
        data = tuple(store.keep(node, k, const) for k, const in enumerate(choice.leaf.consts))
        operands = tuple(
            Operand(t.name, places[t.name], taps)
            for t, taps in zip(ops.operands(node, graph), choice.access.operands, strict=True)
        )
        steps.append(
            Step(node, choice.access, function, choice.leaf, data, operands, places[graph.out(node).name],
                 layout.scratch_at.get(i), model.workers[i].calls, ops.operator(node).macs(node, graph),
                 layout.homes.scratch[i],
                 tuple(places[node.inputs[k]].offsets[0] for k, after in ops.operator(node).carries if after))
        )  # fmt: skip
    answers = {
        name: store.fixed(f"output_{i}", t)
        for i, name in enumerate(graph.outputs)
        if (t := graph.tensors[name].data) is not None
    }
    held = tuple(_registers(graph, places, store))
    return Program(
        graph, recipe, tuple(steps), tuple(_run(s) for s in cut), tuple({f.symbol: f for f in functions}.values()),
        store.data, places, layout, _input_rows(model, layout), timeline.whole_tensors(model), ARENA_ALIGN,
        candidates.pads(chosen, graph), answers, held, tried,
    )  # fmt: skip


def _registers(graph: Graph, places: Mapping[str, Place], store: _Store) -> Iterator[Register]:
    carried = registers.in_place(graph)
    for i, s in enumerate(graph.states):
        held = graph.tensors[s.after].data
        source = places[s.after] if held is None else store.fixed(f"state_{i}_next", held)
        fill = set(s.initial.tobytes())
        initial = fill.pop() if len(fill) == 1 else store.fixed(f"state_{i}_initial", s.initial)
        offset = places[s.before].offsets[0]
        yield Register(s.name, offset, s.initial.nbytes, initial, None if s.before in carried else source)


def _run(segment: segments.Segment) -> Run:
    order = tuple(task.worker for task in segment.tasks) if segment.streamed else None
    return Run(segment.first, segment.end, order)


def _input_rows(model: timeline.Model, layout: Layout) -> Place:
    """The first input as its storage cuts it: the rows that a caller pushes."""
    s = model.inputs[0] if model.inputs else None
    return (
        Place((0,), 0) if s is None else Place(layout.row_at[s], model.storages[s].row_bytes, layout.homes.storages[s])
    )


def _place(t: Tensor, model: timeline.Model, layout: Layout) -> Place:
    """A tensor's rows: its storage's, or, where it cuts them differently, a dense block."""
    s = model.storage_of[t.name]
    storage, at, region = model.storages[s], layout.row_at[s], layout.homes.storages[s]
    if (t.rows, t.row_bytes) == (storage.rows, storage.row_bytes):
        return Place(at, t.row_bytes, region)
    return Place(tuple(at[0] + y * t.row_bytes for y in range(t.rows)), t.row_bytes, region)


class _Store:
    """Constant arrays by content: equal arrays are one symbol."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[int, ...], bytes], Data] = {}
        self._symbols: set[str] = set()

    @property
    def data(self) -> tuple[Data, ...]:
        return tuple(self._known.values())

    def keep(self, node: Node, index: int, const: Const) -> Data:
        array = np.ascontiguousarray(const.data)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadInput("its constants hold NaN or infinity", where=f"{node.name} ({node.op})",
                           fix="retrain or repair the model; no input gives a meaningful answer")  # fmt: skip
        symbol = f"{node.name}_{const.role}"
        return self._keep(symbol if symbol not in self._symbols else f"{symbol}_{index}", const.role, array)

    def fixed(self, symbol: str, array: Array) -> Data:
        """A graph output that folding has made a constant."""
        return self._keep(symbol, "table", np.ascontiguousarray(array))

    def _keep(self, symbol: str, role: str, array: Array) -> Data:
        key = (array.dtype.str, (array.size,), array.tobytes())
        if key not in self._known:
            self._symbols.add(symbol)
            self._known[key] = Data(symbol, role, array)
        return self._known[key]


def _functions(chosen: Sequence[Choice], share: bool) -> list[Function]:
    """The function of each choice; equal ones are the same value.

    With `share`, leaves that differ in numbers alone use one function, and what differs becomes an argument.
    """
    groups: dict[object, list[int]] = {}
    for i, c in enumerate(chosen):
        groups.setdefault(candidates.sharing(c, share), []).append(i)
    made: list[Function | None] = [None] * len(chosen)
    symbols = _numbered(chosen[members[0]] for members in groups.values())
    for members, symbol in zip(groups.values(), symbols, strict=True):
        first = chosen[members[0]]
        varying = tuple(n for n in first.leaf.numbers if len({chosen[i].leaf.numbers[n] for i in members}) > 1)
        function = candidates.function(first, symbol, varying)
        for i in members:
            made[i] = function
    return [f for f in made if f is not None]


def _numbered(firsts: Iterable[Choice]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for choice in firsts:
        stem = f"{choice.node.op}_{choice.kernel.name}"
        seen[stem] = seen.get(stem, 0) + 1
        yield f"{stem}_{seen[stem]}"
