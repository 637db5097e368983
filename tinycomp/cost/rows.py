"""The sizes of a step that its cycles are made of.

Each kind of kernel row has its own: how often a loop is entered and what is done there, in the order of its loops.
Which of them a row pays for, and how much, is found by fitting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from tinycomp.cost import convolution, depthwise, elementwise
from tinycomp.cost.sizes import GROUP, Features, Made, trips
from tinycomp.ir import Graph
from tinycomp.program import Step


def key(step: Step) -> str:
    """The row of the table: operator, kernel, and whether sizes that it is faster to know are arguments."""
    f = step.function
    shared = any(name not in step.leaf.shared for name in f.arguments)
    return f"{f.op}/{f.kernel}" + ("/shared" if shared else "")


def tags(step: Step) -> dict[str, str]:
    """Structural choices that change the code, by name; their values are words."""
    params = step.function.params
    found = {name: str(value) for name, value in params.items() if isinstance(value, (str, bool))}
    if "groups" in params:
        found["grouped"] = str(params["groups"] != 1)
    for name in ("channels", "bytes", "tail", "step_a", "step_b"):
        if isinstance(value := params.get(name), int):
            found[name] = str(value)
    for name, end in (("low", -128), ("high", 127)):
        if isinstance(value := params.get(name), int):
            found[f"clamps_{name}"] = str(value != end)
    return found


def features(step: Step, graph: Graph) -> Features:
    """Every size of the step by name, those for each form that it has included."""
    row = (step.function.op, step.function.kernel)
    plain, by_form = (ROWS.get(row) or KINDS.get(step.function.op, elementwise.elements))(step, graph)
    made = dict(plain)
    for name, value in tags(step).items():
        made |= {f"{size}[{name}={value}]": plain[size] for size in by_form if size in plain}
    return {name: value for name, value in made.items() if value}


def code_sizes(step: Step, graph: Graph) -> Features:
    """What the bytes of a step's function are made of: its forms, and how much of it is written out."""
    params = step.function.params
    made: Features = {"1": 1.0}
    for name, value in params.items():
        if isinstance(value, tuple):
            made[f"len {name}"] = float(len(cast("tuple[object, ...]", value)))
        elif isinstance(value, int) and not isinstance(value, bool):
            made[name] = float(value)
    for name, value in tags(step).items():
        made[f"{name}={value}"] = 1.0
    pixels, seen = params.get("pixels"), made.get("len columns", 0.0)
    if isinstance(pixels, int):
        made |= {"pixels·columns": pixels * seen, "pixels·kw": pixels * made.get("kw", 0.0)}
    for name in ("kw", "kh", "inner", "tap_c", "count", "in_w"):
        value = step.leaf.numbers.get(name)
        if value is not None and name not in step.function.arguments:
            made[f"{name}:{trips(value)}"] = 1.0
    out = graph.out(step.node).shape
    deep = out[-1] if out else 1
    made |= {"⌈out/4⌉>1": float(deep > GROUP), "out≥4": float(deep >= GROUP), "out%4": float(deep % GROUP > 0)}
    return {name: value for name, value in made.items() if value}


Sizes = Callable[[Step, Graph], Made]
KINDS: Mapping[str, Sizes] = MappingProxyType({
    "add": elementwise.binary,
    "average_pool2d": elementwise.pool,
    "conv2d": convolution.dot_products,
    "fully_connected": convolution.dense,
    "max_pool2d": elementwise.pool,
    "mean": elementwise.mean,
    "mul": elementwise.binary,
    "sub": elementwise.binary,
})  # fmt: skip
ROWS: Mapping[tuple[str, str], Sizes] = MappingProxyType({
    ("conv2d", "blocks_riscv"): convolution.blocks,
    ("conv2d", "blocks_thumb2"): convolution.blocks,
    ("conv2d", "blocks_xtensa"): convolution.blocks,
    ("conv2d", "float"): convolution.loops,
    ("conv2d", "int4_dsp"): convolution.nibble_pairs,
    ("conv2d", "portable"): convolution.loops,
    ("depthwise_conv2d", "columns"): depthwise.blocks,
    ("depthwise_conv2d", "dsp_channels"): depthwise.written_out,
    ("depthwise_conv2d", "dsp_expand"): depthwise.written_out,
    ("depthwise_conv2d", "dsp_strip"): depthwise.written_out,
    ("depthwise_conv2d", "float"): depthwise.floats,
    ("depthwise_conv2d", "int4_columns"): depthwise.blocks,
    ("depthwise_conv2d", "mve"): depthwise.vectors,
    ("depthwise_conv2d", "portable"): depthwise.taps,
    ("depthwise_conv2d", "reduce"): depthwise.sums,
    ("depthwise_conv2d", "reduce_dsp"): depthwise.sums,
    ("fully_connected", "int4_dsp"): convolution.nibble_pairs,
})  # fmt: skip
