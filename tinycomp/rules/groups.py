"""Groups of channels that can only be removed together, and their removal from a whole graph.

Whoever wants channels gone decides which groups live (dead-channel removal by what is read, pruning by a score), then
calls `keep_only`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinycomp.ir import Graph, Node, Tensor, fresh, pruned
from tinycomp.rules.ties import Indices, Kept, Mask, channels, narrow, take, ties


@dataclass(frozen=True)
class Groups:
    """label: the group of each channel of each tensor. pinned [groups]: a channel of it cannot be removed at all."""

    label: Mapping[str, Indices]
    pinned: Mask

    def keep(self, live: Mask) -> dict[str, Mask]:
        """Masks of the channels whose group lives, for the tensors that lose some."""
        masks = {name: live[label] for name, label in self.label.items()}
        return {name: mask for name, mask in masks.items() if not mask.all()}


def groups(graph: Graph) -> Groups:
    """The groups of a graph. Inputs, outputs and what operators hold fast are pinned."""
    first: dict[str, int] = {}
    count = 0
    for name, t in graph.tensors.items():
        first[name], count = count, count + channels(t)
    ends: list[tuple[Indices, Indices]] = []
    pinned = [_span(graph, first, name) for name in (*graph.sources, *graph.results)]
    for node in graph.nodes:
        found = ties(node, graph)
        for link in found.links:
            ends.append((first[node.inputs[link.operand]] + link.inner, first[node.outputs[0]] + link.outer))
        free = {link.operand for link in found.links} | ({0} if found.mixes else set[int]())
        pinned += [_span(graph, first, name) for i, name in enumerate(node.inputs) if i not in free]
        if not found.links and not found.mixes:
            pinned += [_span(graph, first, name) for name in node.outputs]
    label = connected(count, ends)
    held = np.zeros(int(label.max(initial=-1)) + 1, np.bool_)
    for span in pinned:
        held[label[span]] = True
    return Groups({name: label[_span(graph, first, name)] for name in graph.tensors}, held)


def _span(graph: Graph, first: Mapping[str, int], name: str) -> slice:
    return slice(first[name], first[name] + channels(graph.tensors[name]))


def connected(count: int, edges: list[tuple[Indices, Indices]]) -> Indices:
    """Labels 0, 1, … of the connected components of a graph on `count` vertices, in the order of their first vertex."""
    label = np.arange(count)
    if edges:
        a, b = (np.concatenate(side) for side in zip(*edges, strict=True))
        while True:
            low = np.minimum(label[a], label[b])
            before = label.copy()
            for end in (a, b):  # the roots of both ends take the lower root, then every vertex its root's
                np.minimum.at(label, before[end], low)
                np.minimum.at(label, end, low)
            while not np.array_equal(label, label[label]):
                label = label[label]
            if np.array_equal(label, before):
                break
    return np.unique(label, return_inverse=True)[1]


@dataclass(frozen=True, eq=False)
class Cluster:
    """Tensors whose channels are tied, by name, and their groups of channels."""

    names: Sequence[str]
    groups: Indices


def clusters(label: Mapping[str, Indices], names: Sequence[str]) -> list[Cluster]:
    """The named tensors by what they share groups with, `label` being the group of each channel of each tensor."""
    groups = [np.unique(label[name]) for name in names]
    count = max((int(g[-1]) + 1 for g in groups), default=0)
    edges = [(np.full(len(g), count + k), g) for k, g in enumerate(groups)]
    of = connected(count + len(names), edges)[count:].tolist()
    found: list[Cluster] = []
    for number in dict.fromkeys(of):
        members = [k for k, own in enumerate(of) if own == number]
        held = np.unique(np.concatenate([groups[k] for k in members]))
        found.append(Cluster([names[k] for k in members], held))
    return found


def keep_only(graph: Graph, keep: Kept) -> Graph:
    """The graph without the channels that the masks, by tensor name, leave out.

    The masks must agree with the groups: no group loses some of its channels alone, none that is pinned loses any.
    """
    tensors: dict[str, Tensor] = {**graph.tensors}
    for name, mask in keep.items():
        if not mask.all():
            tensors[name] = take(graph.tensors[name], mask, -1)
    nodes: list[Node] = []
    for node in graph.nodes:
        if all(keep[name].all() for name in (*node.inputs, *node.outputs) if name in keep):
            nodes.append(node)
            continue
        made = narrow(node, graph, keep)
        inputs = list(node.inputs)
        for i, t in made.constants.items():
            inputs[i] = store(graph, tensors, t)
        nodes.append(replace(node, attrs=made.attrs, inputs=tuple(inputs)))
    return pruned(replace(graph, tensors=tensors, nodes=tuple(nodes)))


def store(graph: Graph, tensors: dict[str, Tensor], t: Tensor) -> str:
    """Store a node's constant, under a new name where other nodes read the old one; returns the name."""
    name = t.name if len(graph.consumers(t.name)) == 1 else fresh(graph, f"{t.name}_narrow", tensors)
    tensors[name] = replace(t, name=name)
    return name
