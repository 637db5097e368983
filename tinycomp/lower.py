"""Graph + Recipe + core features -> Program: kernels chosen, constants packed, every row given its address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinycomp import ops, planner
from tinycomp.errors import BadInput, Unsupported
from tinycomp.ir import Array, Graph, Node, Tensor
from tinycomp.kernel import Access, Const, Kernel, Leaf, Taps, choices
from tinycomp.program import Data, Function, Operand, Place, Program, Recipe, Step

ARENA_ALIGN = 16


def lower(graph: Graph, recipe: Recipe, features: frozenset[str] = frozenset()) -> Program:
    """The program for a graph whose nodes are in the order in which they shall run.

    Raises Unsupported where an operator has no kernel for its shapes or dtypes.
    """
    nodes = tuple(n for n in graph.nodes if not ops.operator(n).view)
    chosen = [_choose(n, graph, recipe, features) for n in nodes]
    functions = _functions(chosen, share=recipe.opt == "size")
    roots = storage(graph)
    buffers = _buffers(graph, nodes, chosen, roots, align=16 if "mve" in features else 4)
    placement = planner.place(buffers)
    planner.check(buffers, placement)
    places = {
        name: Place(placement.offsets[root], graph.tensors[name].rows, graph.tensors[name].row_bytes)
        for name, root in roots.items()
    }
    store, steps = _Store(), []
    for node, choice, function in zip(nodes, chosen, functions, strict=True):
        data = tuple(store.keep(node, i, const) for i, const in enumerate(choice.leaf.consts))
        operands = tuple(
            Operand(t.name, places[t.name], taps)
            for t, taps in zip(graph.activations(node), choice.access.operands, strict=True)
        )
        out, spare = graph.out(node), placement.offsets.get(_scratch_name(node))
        steps.append(
            Step(node, choice.access, function, choice.leaf, data, operands, places[out.name], spare,
                 _calls(choice.access, operands, out), ops.operator(node).macs(node, graph))
        )  # fmt: skip
    answers = {name: store.fixed(f"output_{i}", t) for i, name in enumerate(graph.outputs)
               if (t := graph.tensors[name].data) is not None}  # fmt: skip
    distinct = tuple(dict.fromkeys(f.symbol for f in functions))
    by_symbol = {f.symbol: f for f in functions}
    return Program(
        graph, recipe, tuple(steps), tuple(by_symbol[s] for s in distinct), store.data, places, tuple(buffers),
        placement, roots, -(-placement.size // 4) * 4, ARENA_ALIGN, _pads(steps), answers,
    )  # fmt: skip


@dataclass(frozen=True)
class _Choice:
    node: Node
    kernel: Kernel
    access: Access
    leaf: Leaf


def _choose(node: Node, graph: Graph, recipe: Recipe, features: frozenset[str]) -> _Choice:
    operator = ops.operator(node)
    usable = features if recipe.kernels == "auto" else frozenset[str]()
    rows = choices(operator.kernels, node, graph, usable)
    if (pinned := recipe.pinned.get(node.name)) is not None:
        rows = tuple(row for row in rows if row.name == pinned)
    if operator.access is None or not rows:
        dtypes = ", ".join(f"{t.name!r} {t.dtype}{list(t.shape)}" for t in graph.ins(node))
        raise Unsupported(f"no kernel takes its inputs {dtypes}", where=f"{node.name} ({node.op})",
                          fix="`tinycomp ops` lists what each operator takes")  # fmt: skip
    access = operator.access(node, graph)
    return _Choice(node, rows[0], access, rows[0].lower(node, graph))


def storage(graph: Graph) -> dict[str, str]:
    """The tensor whose bytes each tensor lives in: itself, what it is a view of, or what it may overwrite.

    A tensor may take over an operand's storage when the operator allows it, both have the same size and rows, and
    no other node, and no caller, reads the operand or a view of it after this node.
    """
    root = {name: name for name in graph.inputs}
    last = _last_reads(graph)
    for i, node in enumerate(graph.nodes):
        operator, out = ops.operator(node), graph.out(node)
        for name in node.outputs:
            root[name] = name
        if operator.view and graph.tensors[node.inputs[0]].data is None:
            root[out.name] = root[node.inputs[0]]
            continue
        for k in operator.inplace:
            t = graph.tensors[node.inputs[k]]
            dies = t.data is None and all(last[name] <= i for name, r in root.items() if r == root[t.name])
            if dies and t.bytes == out.bytes and t.row_bytes == out.row_bytes:
                root[out.name] = root[t.name]
                break
    return root


def _last_reads(graph: Graph) -> dict[str, int]:
    """For each tensor the index of the last node that reads it; the number of nodes for a graph output."""
    last: dict[str, int] = dict.fromkeys(graph.tensors, -1)
    for i, node in enumerate(graph.nodes):
        for name in node.inputs:
            last[name] = i
    for name in graph.outputs:
        last[name] = len(graph.nodes)
    return last


def _scratch_name(node: Node) -> str:
    return f"{node.name} scratch"


def _buffers(
    graph: Graph, nodes: Sequence[Node], chosen: Sequence[_Choice], roots: Mapping[str, str], align: int
) -> list[planner.Buffer]:
    """One buffer for each storage root and each scratch, alive over half-open ranges of steps."""
    spans: dict[str, list[int]] = {}
    for name in graph.inputs:
        spans[roots[name]] = [0, 1]
    for i, node in enumerate(nodes):
        for name in (*node.inputs, *node.outputs):
            if name in roots:
                span = spans.setdefault(roots[name], [i, i + 1])
                span[0], span[1] = min(span[0], i), max(span[1], i + 1)
    for name in graph.outputs:
        if name in roots:
            span = spans.setdefault(roots[name], [0, 1])
            span[1] = max(len(nodes), 1)
    size = dict.fromkeys(spans, 0)
    for name, root in roots.items():
        if root in size:
            size[root] = max(size[root], graph.tensors[name].bytes)
    buffers = [planner.Buffer(root, size[root], start, end, align) for root, (start, end) in spans.items()]
    for i, choice in enumerate(chosen):
        if choice.leaf.scratch:
            buffers.append(planner.Buffer(_scratch_name(choice.node), choice.leaf.scratch, i, i + 1, align))
    return buffers


def _calls(access: Access, operands: Sequence[Operand], out: Tensor) -> int:
    if access.kind == "whole":
        return 1
    return operands[0].place.rows if access.kind == "reduce" else out.rows


def _pads(steps: Sequence[Step]) -> dict[int, int]:
    """The padding rows that some step reads: fill byte to the longest row's bytes."""
    longest: dict[int, int] = {}
    for step in steps:
        if step.access.pad is not None:
            for operand in step.operands:
                if operand.taps is not None and needs_padding(operand.taps, operand.place.rows, step.calls):
                    longest[step.access.pad] = max(longest.get(step.access.pad, 0), operand.place.row_bytes)
    return dict(sorted(longest.items()))


def needs_padding(taps: Taps, rows: int, calls: int) -> bool:
    """Some call takes a row outside [0, rows)."""
    return taps.pad > 0 or taps.row(calls - 1, taps.count - 1) >= rows


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


def _functions(chosen: Sequence[_Choice], share: bool) -> list[Function]:
    """The function of each choice; equal ones are the same value.

    With `share`, leaves that differ in numbers alone use one function, and what differs becomes an argument.
    """
    groups: dict[object, list[int]] = {}
    for i, c in enumerate(chosen):
        own = () if share else tuple(sorted(c.leaf.numbers.items()))
        key = (c.node.op, c.kernel.name, c.access.kind, bool(c.leaf.scratch), _types(c.leaf), tuple(sorted(c.leaf.params.items())),
               tuple(sorted(c.leaf.numbers)), own)  # fmt: skip
        groups.setdefault(key, []).append(i)
    made: list[Function | None] = [None] * len(chosen)
    symbols = _numbered(chosen[members[0]] for members in groups.values())
    for members, symbol in zip(groups.values(), symbols, strict=True):
        first = chosen[members[0]]
        varying = tuple(n for n in first.leaf.numbers if len({chosen[i].leaf.numbers[n] for i in members}) > 1)
        literals = {n: v for n, v in first.leaf.numbers.items() if n not in varying}
        function = Function(symbol, first.node.op, first.kernel.name, first.kernel.helpers, first.access.kind,
                            bool(first.leaf.scratch), _types(first.leaf), first.leaf.params, literals, varying)  # fmt: skip
        for i in members:
            made[i] = function
    return [f for f in made if f is not None]


def _types(leaf: Leaf) -> tuple[str, ...]:
    return tuple(data_type(c.data.dtype) for c in leaf.consts)


def data_type(dtype: np.dtype[np.generic]) -> str:
    """The C type of an array's elements."""
    return {"float32": "float", "bool": "uint8_t"}.get(dtype.name, f"{dtype.name}_t")


def _numbered(firsts: Iterable[_Choice]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for choice in firsts:
        stem = f"{choice.node.op}_{choice.kernel.name}"
        seen[stem] = seen.get(stem, 0) + 1
        yield f"{stem}_{seen[stem]}"
