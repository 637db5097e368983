"""What a rule is; the driver that runs rules to a fixpoint, and stages, and writes down what each of them changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinycomp import ops
from tinycomp.ir import Attrs, Edit, Graph, Node, Tensor, apply
from tinycomp.ops.conv2d import Conv2D
from tinycomp.ops.depthwise_conv2d import DepthwiseConv2D
from tinycomp.ops.fully_connected import FullyConnected

# Operators whose inputs are (activation, weights, bias).
WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected)


@dataclass(frozen=True)
class Rule:
    """A local rewrite.

    root: the attributes' classes of the nodes that `match` is asked about.
    match: the edit to make at a node, or None. It may judge by the tensors that its edit names and by the nodes that
        read or write them, no further: edits that name no tensor in common are made at once.
    exact: the outputs keep their bits (in float32, where no addition changes places). Tests hold every rule to it.
    """

    name: str
    root: type[Attrs] | tuple[type[Attrs], ...]
    match: Callable[[Graph, Node], Edit | None]
    exact: bool = True


@dataclass(frozen=True)
class Stage:
    """A rewrite of the whole graph; it returns the very same graph where there is nothing to do."""

    name: str
    run: Callable[[Graph], Graph]
    exact: bool = True


@dataclass(frozen=True)
class Size:
    """A graph in figures: nodes, multiply-accumulates of one inference, elements of constants other than biases."""

    nodes: int
    macs: int
    weights: int


@dataclass(frozen=True)
class PassRecord:
    """What one pass changed. `exact` is the pass's claim that no output bit did."""

    name: str
    exact: bool
    before: Size
    after: Size


def size(graph: Graph) -> Size:
    """The graph's figures. A constant that several nodes read counts once."""
    macs = sum(ops.operator(node).macs(node, graph) for node in graph.nodes)
    weights = {t.name: t for node in graph.nodes for t in weights_of(node, graph)}
    return Size(len(graph.nodes), macs, sum(t.elements for t in weights.values()))


def weights_of(node: Node, graph: Graph) -> list[Tensor]:
    """The node's constants, its bias aside."""
    names = node.inputs[:2] if isinstance(node.attrs, WEIGHTED) else node.inputs
    return [t for t in map(graph.tensor, names) if t.data is not None]


def biases_of(node: Node, graph: Graph) -> list[Tensor]:
    """The node's constant bias, [] where it has none."""
    names = node.inputs[2:] if isinstance(node.attrs, WEIGHTED) else ()
    return [t for t in map(graph.tensor, names) if t.data is not None]


def apply_stage(graph: Graph, stage: Stage) -> tuple[Graph, list[PassRecord]]:
    """Run a stage and check the graph; the record, if there is a change."""
    made = stage.run(graph)
    if made is graph:
        return graph, []
    ops.check(made)
    return made, [PassRecord(stage.name, stage.exact, size(graph), size(made))]


def apply_rules(graph: Graph, rules: Sequence[Rule]) -> tuple[Graph, list[PassRecord]]:
    """Each rule in turn until it matches nowhere, again from the first while any has changed something.

    One record for each run that did. The graph is checked after each. Raises RuntimeError where rules undo one another:
    the number of edits is bounded by the size of the graph.
    """
    records: list[PassRecord] = []
    budget = 16 * len(graph.nodes) + 64
    changed = True
    while changed:
        changed = False
        for rule in rules:
            made, edits = _fixpoint(graph, rule, budget)
            if not edits:
                continue
            budget -= edits
            ops.check(made)
            records.append(PassRecord(rule.name, rule.exact, size(graph), size(made)))
            graph, changed = made, True
    return graph, records


def _fixpoint(graph: Graph, rule: Rule, budget: int) -> tuple[Graph, int]:
    """The graph where the rule matches no more, and the number of edits.

    A sweep makes all edits that have no tensor in common in one go, and the next one looks only where they were: the
    graph is rebuilt once for each sweep, not for each edit.
    """
    waiting: Sequence[Node] = graph.nodes
    count = 0
    while True:
        edits, touched = _sweep(graph, rule, waiting)
        if not edits:
            return graph, count
        count += len(edits)
        if count > budget:
            raise RuntimeError(f"the rule {rule.name} still matches after {count} edits; it or one that runs with it "
                               "undoes its own work")  # fmt: skip
        graph = apply(graph, *edits)
        waiting = [n for n in graph.nodes if not touched.isdisjoint((*n.inputs, *n.outputs))]


def _sweep(graph: Graph, rule: Rule, nodes: Sequence[Node]) -> tuple[list[Edit], set[str]]:
    """Matches at the nodes that have no tensor in common, and the names of all tensors of all matches."""
    edits: list[Edit] = []
    taken: set[str] = set()
    touched: set[str] = set()
    for node in nodes:
        edit = rule.match(graph, node) if isinstance(node.attrs, rule.root) else None
        if edit is None:
            continue
        names = _footprint(edit)
        if taken.isdisjoint(names):
            taken |= names
            edits.append(edit)
        touched |= names
    return edits, touched


def _footprint(edit: Edit) -> set[str]:
    """The tensors that an edit names."""
    nodes = (*edit.remove, *edit.insert)
    names = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    return names | {t.name for t in edit.tensors} | set(edit.redirect) | set(edit.redirect.values())
