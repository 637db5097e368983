"""The rewrites, one file each, in the order in which they run, and the pipelines made of them."""

from __future__ import annotations

from tinycomp.ir import Graph
from tinycomp.rewrite import PassRecord, Rule, Stage, apply_rules, apply_stage
from tinycomp.rules import (
    constants,
    dead,
    expand,
    fuse_activation,
    merge_activations,
    merge_reshapes,
    noop,
    pad_into_convolution,
    requantize_back,
    scale_into_consumer,
    scale_into_producer,
)
from tinycomp.rules.channels import remove_channels
from tinycomp.rules.delay_lines import delay_lines

# Bits stay as they are.
EXACT: tuple[Rule, ...] = (
    Rule("constants", constants.ROOT, constants.match),
    Rule("dead", dead.ROOT, dead.match),
    Rule("expand", expand.ROOT, expand.match),
    Rule("requantize_back", requantize_back.ROOT, requantize_back.match),
    Rule("noop", noop.ROOT, noop.match),
    Rule("merge_reshapes", merge_reshapes.ROOT, merge_reshapes.match),
    Rule("merge_activations", merge_activations.ROOT, merge_activations.match),
    Rule("fuse_activation", fuse_activation.ROOT, fuse_activation.match),
    Rule("pad_into_convolution", pad_into_convolution.ROOT, pad_into_convolution.match),
)

# float32 models before they are quantized or built as they are: results move within rounding.
FLOAT: tuple[Rule, ...] = (
    Rule("scale_into_producer", scale_into_producer.ROOT, scale_into_producer.match, exact=False),
    Rule("scale_into_consumer", scale_into_consumer.ROOT, scale_into_consumer.match, exact=False),
)

# What lowering cannot do without.
NEEDED: tuple[Rule, ...] = (Rule("expand", expand.ROOT, expand.match),)

CHANNELS = Stage("channels", remove_channels)
DELAY_LINES = Stage("delay_lines", delay_lines)


def optimise(graph: Graph) -> tuple[Graph, tuple[PassRecord, ...]]:
    """Every exact rewrite: the outputs keep their bits, their names, their order and their shapes.

    Records the passes that changed something, in order. Raises what `ops.check` raises should a pass break the graph.
    """
    graph, records = apply_rules(graph, EXACT)
    graph, removed = apply_stage(graph, CHANNELS)
    if removed:
        graph, more = apply_rules(graph, EXACT)
        records += removed + more
    graph, lines = apply_stage(graph, DELAY_LINES)
    if lines:
        graph, more = apply_rules(graph, EXACT)
        lines += more
    return graph, (*records, *lines)


def fold_float(graph: Graph) -> tuple[Graph, tuple[PassRecord, ...]]:
    """The float rules besides the exact local ones: for a float32 graph before it is calibrated, pruned or built."""
    graph, records = apply_rules(graph, (*EXACT, *FLOAT))
    return graph, tuple(records)
