"""`order` finds the topological order of least peak; `peak` and `liveness` mean what they say."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycomp import ir
from tinycomp.schedule import liveness, order, peak


@dataclass(frozen=True)
class Step(ir.Attrs):
    """An operator that only has inputs and outputs."""

    op: ClassVar[str] = "STEP"


def graph(nodes: Sequence[tuple[str, str]], sizes: Mapping[str, int], inputs: str = "x", outputs: str = "",
          constants: str = "") -> ir.Graph:  # fmt: skip
    """A graph of int8 vectors from ("in in", "out out") pairs; node i is called n<i>."""
    tensors = {name: ir.Tensor(name, (size,), "int8") for name, size in sizes.items()}
    for name in constants.split():
        tensors[name] = ir.Tensor(name, (4000,), "int8", data=np.zeros(4000, np.int8))
    made = tuple(ir.Node(f"n{i}", Step(), tuple(a.split()), tuple(b.split())) for i, (a, b) in enumerate(nodes))
    built = ir.Graph("toy", tensors, made, tuple(inputs.split()), tuple(outputs.split()))
    ir.check(built)
    return built


def names(g: ir.Graph) -> str:
    return " ".join(node.name for node in g.nodes)


@st.composite
def dags(draw: st.DrawFn, most: int = 8) -> ir.Graph:
    """Random graphs with several inputs (some unread), constants, outputs anywhere and results that nothing reads."""
    inputs = [f"x{i}" for i in range(draw(st.integers(1, 2)))]
    known, nodes = [*inputs, "w"], list[tuple[str, str]]()
    for i in range(draw(st.integers(1, most))):
        read = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        write = [f"t{i}", f"u{i}"][: draw(st.sampled_from([1, 1, 1, 2]))]
        nodes.append((" ".join(read), " ".join(write)))
        known += write
    activations = [name for name in known if name != "w"]
    sizes = {name: draw(st.integers(1, 30)) for name in activations}
    outputs = draw(st.lists(st.sampled_from(activations), max_size=3, unique=True))
    return graph(nodes, sizes, " ".join(inputs), " ".join(outputs), "w")


def topological(g: ir.Graph) -> Iterator[ir.Graph]:
    """Every order of the nodes that respects the data."""

    def extend(done: tuple[ir.Node, ...], known: frozenset[str]) -> Iterator[ir.Graph]:
        if len(done) == len(g.nodes):
            yield replace(g, nodes=done)
        for node in g.nodes:
            if node not in done and known.issuperset(node.inputs):
                yield from extend((*done, node), known | set(node.outputs))

    known = frozenset(g.inputs) | {name for name, t in g.tensors.items() if t.data is not None}
    return extend((), known)


def peak_by_definition(g: ir.Graph) -> int:
    """Step by step: what is needed now or later, or has just been written."""
    highest = 0
    for step, node in enumerate(g.nodes):
        later = {name for other in g.nodes[step:] for name in other.inputs} | set(g.outputs)
        exists = set(g.inputs) | {name for other in g.nodes[:step] for name in other.outputs}
        live = (later & exists) | set(node.outputs) | (set(g.inputs) if step == 0 else set[str]())
        highest = max(highest, sum(g.tensors[name].bytes for name in live if g.tensors[name].data is None))
    return highest


def least_peak(g: ir.Graph, best: int) -> int:
    """Brute force over all orders; a partial order that already needs `best` bytes is not continued."""
    last = {name: {n.name for n in g.nodes if name in n.inputs} for name in g.tensors}

    def extend(done: frozenset[str], highest: int, best: int) -> int:
        if highest >= best or len(done) == len(g.nodes):
            return min(highest, best)
        exists = set(g.inputs) | {name for n in g.nodes if n.name in done for name in n.outputs}
        for node in g.nodes:
            ready = all(name in exists or g.tensors[name].data is not None for name in node.inputs)
            if node.name in done or not ready:
                continue
            waiting = {name for name in exists if name in g.outputs or last[name] - done}
            live = waiting if done else waiting | set(g.inputs)
            busy = sum(g.tensors[name].bytes for name in live | set(node.outputs) if g.tensors[name].data is None)
            best = extend(done | {node.name}, max(highest, busy), best)
        return best

    return extend(frozenset(), 0, best)


@settings(deadline=None)
@given(dags())
def test_the_peak_is_the_largest_sum_of_live_tensors(g: ir.Graph) -> None:
    spans = liveness(g)
    sums = [sum(g.tensors[n].bytes for n, (a, b) in spans.items() if a <= k < b) for k in range(len(g.nodes))]
    assert peak(g) == max(sums) == peak_by_definition(g)


@settings(deadline=None)
@given(dags(most=5))
def test_small_graphs_get_the_least_peak_of_all_orders(g: ir.Graph) -> None:
    assert peak(order(g)) == min(peak_by_definition(other) for other in topological(g))


@settings(deadline=None)
@given(dags())
def test_graphs_of_eight_nodes_get_the_least_peak(g: ir.Graph) -> None:
    best = order(g)
    assert peak(best) == least_peak(g, peak(g))
    assert best is g or peak(best) < peak(g)


def random_dag(count: int, seed: int, window: int) -> ir.Graph:
    dice = random.Random(seed)
    known, nodes = ["x"], list[tuple[str, str]]()
    for i in range(count):
        nodes.append((" ".join(dice.sample(known[-window:], min(len(known), dice.randint(1, 3), window))), f"t{i}"))
        known.append(f"t{i}")
    return graph(nodes, {name: dice.randint(1, 100) for name in known}, "x", known[-1])


def cells(count: int, seed: int) -> ir.Graph:
    """Cells that read the last two cells (as in NASNet), so that no single tensor ever cuts the graph."""
    dice = random.Random(seed)
    nodes = list[tuple[str, str]]()
    sizes = {"x": 100}

    def add(read: str, size: int = 100) -> str:
        name = f"t{len(nodes)}"
        nodes.append((read, name))
        sizes[name] = size
        return name

    older = newer = "x"
    for _ in range(count):
        states = [add(newer), add(older)]
        for _ in range(5):
            a, b = dice.sample(states, 2)
            states.append(add(f"{add(add(a))} {add(add(b))}"))
        older, newer = newer, add(" ".join(states[2:]), 500)
    return graph(nodes, sizes, "x", newer)


@pytest.mark.parametrize(
    "g",
    [
        pytest.param(random_dag(60, 1, 60), id="random"),
        pytest.param(random_dag(1000, 2, 1000), id="random-thousand"),
        pytest.param(random_dag(1000, 3, 10), id="random-long"),
        pytest.param(cells(12, 1), id="cells"),
    ],
)
def test_large_graphs_get_a_topological_order_that_needs_less(g: ir.Graph) -> None:
    best = order(g)
    ir.check(best)
    assert peak(best) < peak(g)
    assert sorted(n.name for n in best.nodes) == sorted(n.name for n in g.nodes)
    assert names(order(g)) == names(best)


def test_an_ordered_graph_is_left_alone() -> None:
    best = order(cells(6, 2))
    assert order(best) is best


def test_a_chain_with_residuals_keeps_its_order() -> None:
    nodes = [("x w", "a"), ("a", "b"), ("b a", "c"), ("c", "d"), ("d c", "e")]
    g = graph(nodes, dict.fromkeys("xabcde", 10), outputs="e", constants="w")
    assert order(g) is g
    assert peak(g) == 30


def test_wide_branches_run_one_after_the_other() -> None:
    """In the given order both big tensors are alive while the first is reduced."""
    nodes = [("x", "a"), ("x", "b"), ("a", "sa"), ("b", "sb"), ("sa sb", "y")]
    g = graph(nodes, {"x": 1, "a": 100, "b": 100, "sa": 2, "sb": 2, "y": 1}, outputs="y")
    best = order(g)
    assert names(best) == "n0 n2 n1 n3 n4"
    assert (peak(g), peak(best)) == (202, 104)


def test_every_block_above_the_best_of_the_others_is_ordered() -> None:
    """Two wide blocks one after the other; the second needs less than the first, but too much as it stands."""
    nodes, sizes, x = list[tuple[str, str]](), {"x": 1}, "x"
    for block, (big, small) in enumerate(((100, 2), (90, 2))):
        a, b, sa, sb, y = (f"{name}{block}" for name in ("a", "b", "sa", "sb", "y"))
        nodes += [(x, a), (x, b), (a, sa), (b, sb), (f"{sa} {sb}", y)]
        sizes |= {a: big, b: big, sa: small, sb: small, y: 1}
        x = y
    g = graph(nodes, sizes, outputs=x)
    assert (peak(g), peak(order(g))) == (202, 104)
    assert names(order(g)) == "n0 n2 n1 n3 n4 n5 n7 n6 n8 n9"


def test_parts_that_do_not_set_the_peak_keep_their_order() -> None:
    """The first block could do with less than its 1 + 2 · 40 + 2, but the last one needs 200 anyway."""
    nodes = [("x", "a"), ("x", "b"), ("a", "sa"), ("b", "sb"), ("sa sb", "y"), ("y", "z")]
    g = graph(nodes, {"x": 1, "a": 40, "b": 40, "sa": 2, "sb": 2, "y": 100, "z": 100}, outputs="z")
    assert order(g) is g


def test_liveness_runs_from_the_producer_to_the_last_reader() -> None:
    nodes = [("x w", "a"), ("a", "b spare"), ("a b", "c"), ("c", "y")]
    sizes = dict.fromkeys(["x", "idle", "a", "spare", "c", "y"], 1) | {"through": 10, "b": 5}
    g = graph(nodes, sizes, "x idle through", "y through b", "w")
    assert liveness(g) == {
        "x": (0, 1), "idle": (0, 1), "through": (0, 4),
        "a": (0, 3), "b": (1, 4), "spare": (1, 2), "c": (2, 4), "y": (3, 4),
    }  # fmt: skip
    assert peak(g) == 17  # a, b, spare, and the input that is an output


def test_a_view_keeps_its_storage_alive() -> None:
    nodes = [("x", "a"), ("a", "view"), ("x", "b"), ("view b", "y")]
    g = graph(nodes, {"x": 5, "a": 10, "view": 10, "b": 7, "y": 1}, outputs="y")
    assert peak(g) == 25  # x, a and its copy
    assert peak(g, lambda name: 0 if name == "view" else g.tensors[name].bytes) == 22  # x, a, b


def test_a_view_decides_the_order_with_the_bytes_of_its_storage() -> None:
    """The 30 bytes of `a` are only free when its view has been read, so that branch is finished first."""
    nodes = [("x", "a"), ("a", "v1"), ("x", "b"), ("v1", "p"), ("b", "q"), ("p q", "y")]
    g = graph(nodes, {"x": 1, "a": 30, "v1": 30, "b": 30, "p": 2, "q": 2, "y": 1}, outputs="y")

    def bytes_of(name: str) -> int:
        return 0 if name == "v1" else g.tensors[name].bytes

    assert peak(g, bytes_of) == 62
    best = order(g, bytes_of)
    assert names(best) == "n0 n1 n3 n2 n4 n5"
    assert peak(best, bytes_of) == 34


def test_state_is_not_read_after_it_was_assigned() -> None:
    """n2 has no output: it assigns the variable that n0 reads. Moving n2 in front of n0 would need the least."""
    nodes = [("handle", "old"), ("x", "new"), ("handle new", ""), ("old", "y")]
    g = graph(nodes, {"x": 50, "handle": 1, "old": 50, "new": 50, "y": 1}, "x handle", "y")
    best = names(order(g)).split()
    assert best.index("n0") < best.index("n2")


def test_state_that_no_tensor_names_is_ordered_too() -> None:
    nodes = [("", "old"), ("x", "new"), ("new", ""), ("old", "y"), ("", "fresh"), ("fresh", "z")]
    g = graph(nodes, {"x": 50, "old": 50, "new": 50, "y": 1, "fresh": 5, "z": 1}, "x", "y z")
    best = names(order(g)).split()
    assert best.index("n0") < best.index("n2") < best.index("n4")


def test_a_graph_without_nodes_has_only_its_inputs() -> None:
    g = graph([], {"x": 5}, "x", "x")
    assert order(g) is g
    assert peak(g) == 5
    assert liveness(g) == {"x": (0, 1)}
