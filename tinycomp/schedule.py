"""The order of nodes: when each tensor lives, how many bytes are alive at the worst, and the order that needs least.

Which bytes are alive depends only on the set of nodes that have run, never on their order, so the search is over
such sets (Ahn et al., "Ordering Chaos: Memory-Aware Scheduling of Irregularly Wired Neural Networks for Edge
Devices", 2020). A graph is first cut where every order must pass through the same set.

Steps are node indices and intervals are half-open. Constants cost nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from tinycomp.ir import Graph, Node

BytesOf = Callable[[str], int]

# Budgets are counts of "what if this node ran next" (some 2 µs each), so equal graphs get equal orders everywhere.
EXACT_WORK = 150_000
BEAM_WORK = 120_000


def liveness(graph: Graph) -> dict[str, tuple[int, int]]:
    """The steps [start, end) in which each activation holds a value, by name.

    A graph input starts at 0, a graph output ends at len(nodes), any other tensor lives from its producer to its
    last consumer. Every tensor has at least one step, also one that nothing reads.
    """
    start = dict.fromkeys(graph.sources, 0)
    end = dict.fromkeys(graph.sources, 1)
    for step, node in enumerate(graph.nodes):
        for name in node.inputs:
            start.setdefault(name, 0)
            end[name] = step + 1
        for name in node.outputs:
            start[name], end[name] = step, step + 1
    for name in graph.results:
        start.setdefault(name, 0)
        end[name] = max(len(graph.nodes), start[name] + 1)
    return {name: (start[name], end[name]) for name in start if graph.tensors[name].data is None}


def peak(graph: Graph, bytes_of: BytesOf | None = None) -> int:
    """Bytes of activations alive at the worst step, in the order that the graph has.

    A node's inputs and outputs are alive while it runs. `bytes_of` gives a tensor's bytes by name, `Tensor.bytes` by
    default. A node's output of 0 bytes is a view: it lives in the storage of the node's first activation input,
    which is alive as long as any of its views.
    """
    return _walk(_model(graph, bytes_of or _dense_bytes(graph)), range(len(graph.nodes)))


def order(graph: Graph, bytes_of: BytesOf | None = None) -> Graph:
    """The graph with its nodes in the topological order of least `peak`; `bytes_of` as there.

    Proved least where the search is small (chains, residual blocks, most branches), else the best of a beam search;
    never worse than the given order, and the very same graph where nothing is gained. Parts of the graph that do not
    set the peak keep their order. A node without outputs acts on state that the graph does not show: it keeps its
    place among the nodes that share an activation with it, that read none, or that have no outputs either.
    """
    model = _model(graph, bytes_of or _dense_bytes(graph))
    pieces = _pieces(model)
    peaks = {piece: _peak_of(piece, range(len(piece.before))) for piece in pieces}
    floor = max((piece.floor for piece in pieces), default=0)
    chosen: dict[int, list[int]] = {}
    left = EXACT_WORK
    # The worst piece first: what it needs at least, the others may use too.
    for piece in sorted(pieces, key=lambda piece: (-peaks[piece], piece.first)):
        if peaks[piece] <= floor:
            continue
        found, work = _exact(piece, floor, left // 2)
        left -= work
        found = found or _beam(piece, floor, peaks[piece], BEAM_WORK // len(graph.nodes))
        if found is not None and _peak_of(piece, found) < peaks[piece]:
            chosen[piece.first] = found
        floor = max(floor, min(peaks[piece], _peak_of(piece, found) if found else peaks[piece]))
    if not chosen or _walk(model, steps := _join(pieces, chosen)) >= _walk(model, range(len(graph.nodes))):
        return graph
    return replace(graph, nodes=tuple(graph.nodes[v] for v in steps))


def _dense_bytes(graph: Graph) -> BytesOf:
    return lambda name: graph.tensors[name].bytes


@dataclass(frozen=True)
class _Storage:
    """Bytes that one or more tensors share. `readers` is a bit set of nodes; `kept` storage is never given back."""

    size: int
    readers: int
    kept: bool


@dataclass(frozen=True)
class _Model:
    """The graph as bit sets over node indices (file order)."""

    before: list[int]  # nodes that must run earlier
    born: list[int]  # bytes of new storage
    uses: list[list[_Storage]]  # storage that is read or new
    resident: int  # bytes of graph inputs
    unread: int  # of these, what nothing reads: alive during the first step only


def _model(graph: Graph, bytes_of: BytesOf) -> _Model:
    root = _roots(graph, bytes_of)
    readers = dict.fromkeys(root.values(), 0)
    kept = {root[name] for name in graph.results if name in root}
    for v, node in enumerate(graph.nodes):
        for name in node.inputs:
            if name in root:
                readers[root[name]] |= 1 << v
    storage = {name: _Storage(bytes_of(name), readers[name], name in kept) for name in readers}
    made = {name for node in graph.nodes for name in node.outputs}
    resident = [storage[name] for name in storage if name not in made]
    born: list[int] = []
    uses: list[list[_Storage]] = []
    for node in graph.nodes:
        touched = dict.fromkeys(root[name] for name in (*node.inputs, *node.outputs) if name in root)
        born.append(sum(storage[name].size for name in node.outputs if root.get(name) == name))
        uses.append([storage[name] for name in touched if storage[name].size])
    return _Model(
        _constraints(graph), born, uses,
        sum(s.size for s in resident), sum(s.size for s in resident if not s.readers and not s.kept),
    )  # fmt: skip


def _roots(graph: Graph, bytes_of: BytesOf) -> dict[str, str]:
    """For each activation, the tensor whose storage it lives in."""
    root: dict[str, str] = {}
    for name in (*graph.sources, *(name for node in graph.nodes for name in node.inputs), *graph.results):
        if graph.tensors[name].data is None and graph.producer(name) is None:
            root[name] = name
    for node in graph.nodes:
        base = next((root[name] for name in node.inputs if name in root), None)
        for name in node.outputs:
            root[name] = base if base is not None and bytes_of(name) == 0 else name
    return root


def _constraints(graph: Graph) -> list[int]:
    """For each node, the bit set of nodes that must run earlier: producers of its inputs and hidden state."""
    index = {name: v for v, node in enumerate(graph.nodes) for name in node.outputs}
    before = [0] * len(graph.nodes)
    for v, node in enumerate(graph.nodes):
        for name in node.inputs:
            if name in index:
                before[v] |= 1 << index[name]
    for e, effect in enumerate(graph.nodes):
        if effect.outputs:
            continue
        for v, node in enumerate(graph.nodes):
            if v != e and _may_share_state(graph, effect, node):
                before[max(v, e)] |= 1 << min(v, e)
    return before


def _may_share_state(graph: Graph, effect: Node, node: Node) -> bool:
    if not node.outputs:
        return True
    read = {t.name for t in graph.activations(node)}
    return not read or any(t.name in read for t in graph.activations(effect))


def _walk(model: _Model, steps: Sequence[int]) -> int:
    """The peak in bytes of this order."""
    mask, live = 0, model.resident
    highest = live
    for step, v in enumerate(steps):
        highest = max(highest, live + model.born[v])
        mask |= 1 << v
        live += model.born[v] - sum(s.size for s in model.uses[v] if not s.kept and not s.readers & ~mask)
        if step == 0:
            live -= model.unread
    return highest


@dataclass(frozen=True, eq=False)
class _Piece:
    """Consecutive nodes that run between two sets which no order avoids. Nodes and bits count from `first`."""

    first: int
    live: int  # bytes alive at the beginning
    unread: int  # of these, what goes after the first step whatever it is
    floor: int  # bytes that every order needs at some step
    before: list[int]
    after: list[list[int]]
    born: list[int]
    frees: list[list[tuple[int, int]]]  # (readers, bytes) of the storage that ends with its last reader


def _pieces(model: _Model) -> list[_Piece]:
    count = len(model.before)
    ancestors = [0] * count
    for v, before in enumerate(model.before):
        for u in _bits(before):
            ancestors[v] |= ancestors[u] | 1 << u
    cuts, common = [count], -1
    for v in range(count - 1, -1, -1):
        common &= ancestors[v]
        done = (1 << v) - 1
        if common & done == done:  # all of the first v nodes come before any of the others, in every order
            cuts.append(v)
    cuts.reverse()
    pieces: list[_Piece] = []
    mask, live = 0, model.resident
    for first, end in pairwise(cuts):
        pieces.append(_piece(model, first, end, live))
        for v in range(first, end):
            mask |= 1 << v
            live += model.born[v] - sum(s.size for s in model.uses[v] if not s.kept and not s.readers & ~mask)
        live -= model.unread if first == 0 else 0
    return pieces


def _piece(model: _Model, first: int, end: int, live: int) -> _Piece:
    nodes = range(first, end)
    before = [model.before[v] >> first for v in nodes]
    after: list[list[int]] = [[] for _ in nodes]
    for v, sooner in enumerate(before):
        for u in _bits(sooner):
            after[u].append(v)
    needs = [sum(s.size for s in model.uses[v]) for v in nodes]
    return _Piece(
        first, live, model.unread if first == 0 else 0, max(live, *needs), before, after, model.born[first:end],
        [[(s.readers >> first, s.size) for s in model.uses[v] if not s.kept] for v in nodes],
    )  # fmt: skip


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _join(pieces: list[_Piece], chosen: dict[int, list[int]]) -> list[int]:
    return [piece.first + v for piece in pieces for v in chosen.get(piece.first, range(len(piece.before)))]


class _State(NamedTuple):
    """A set of nodes that have run, and the way there."""

    mask: int
    live: int
    peak: int
    ready: tuple[int, ...]  # ascending
    last: int = -1
    parent: _State | None = None

    def path(self) -> list[int]:
        """The nodes in the order in which they ran."""
        steps: list[int] = []
        state = self
        while state.parent is not None:
            steps.append(state.last)
            state = state.parent
        return steps[::-1]


def _start(piece: _Piece, floor: int) -> _State:
    ready = tuple(v for v, sooner in enumerate(piece.before) if not sooner)
    return _State(0, piece.live, max(floor, piece.floor), ready)


def _run(piece: _Piece, state: _State, v: int) -> _State:
    """The state after node v, which is ready."""
    mask = state.mask | 1 << v
    busy = state.live + piece.born[v]
    live = busy
    for readers, size in piece.frees[v]:
        if not readers & ~mask:
            live -= size
    if not state.mask:
        live -= piece.unread
    fresh = [u for u in piece.after[v] if not piece.before[u] & ~mask]
    ready = tuple(sorted((*(u for u in state.ready if u != v), *fresh)))
    return _State(mask, live, busy if busy > state.peak else state.peak, ready, v, state)


def _successors(piece: _Piece, state: _State) -> list[_State]:
    """The states worth trying next.

    A node that raises neither the peak nor the live bytes can as well run at once: moved to the front of any
    completion it frees no less than later, so nothing that follows needs more.
    """
    found: list[_State] = []
    spare = piece.unread if not state.mask else 0
    for v in state.ready:
        after = _run(piece, state, v)
        if after.peak == state.peak and after.live + spare <= state.live:
            return [after]
        found.append(after)
    return found


def _peak_of(piece: _Piece, steps: Sequence[int]) -> int:
    state = _start(piece, 0)._replace(peak=piece.live)
    for v in steps:
        state = _run(piece, state, v)
    return state.peak


def _exact(piece: _Piece, floor: int, limit: int) -> tuple[list[int] | None, int]:
    """An order of least peak (at least `floor`), or None where `limit` runs of a node do not suffice; work done.

    Best first: of the sets reached, the one of least peak so far is continued, the fullest among equals. The first
    way to arrive at the full set is therefore one of least peak.
    """
    count, work = len(piece.before), 0
    start = _start(piece, floor)
    heap: list[tuple[int, int, int, int, _State]] = [(start.peak, 0, start.live, 0, start)]
    closed: set[int] = set()
    pushed = 0
    while heap and work < limit:
        _, ran, _, _, state = heapq.heappop(heap)
        if state.mask in closed:
            continue
        closed.add(state.mask)
        if -ran == count:
            return state.path(), work
        work += len(state.ready)
        for after in _successors(piece, state):
            if after.mask not in closed:
                pushed += 1
                heapq.heappush(heap, (after.peak, ran - 1, after.live, pushed, after))
    return None, work


def _beam(piece: _Piece, floor: int, limit: int, share: int) -> list[int] | None:
    """The best order below `limit` bytes found by a beam over the number of nodes run, or None.

    At each step the beam is as wide as some `share` runs of a node allow, and at least 1.
    """
    states = [_start(piece, floor)]
    for _ in piece.before:
        best: dict[int, _State] = {}
        for state in states:
            for after in _successors(piece, state):
                known = best.get(after.mask)
                if after.peak < limit and (known is None or after.peak < known.peak):
                    best[after.mask] = after
        states = list[_State]()
        work = 0
        for state in sorted(best.values(), key=lambda state: (state.peak, state.live)):
            work += len(state.ready)
            if work > share and states:
                break
            states.append(state)
        if not states:
            return None
    return states[0].path()
