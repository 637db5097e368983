"""Sizes of pools, means, element-wise operators and copies."""

from __future__ import annotations

from typing import cast

from tinycomp.cost.sizes import (
    GROUP,
    VECTOR,
    Features,
    Made,
    fixed,
    flag,
    formed,
    listed,
    number,
    trips,
)
from tinycomp.ir import Graph
from tinycomp.ops.pool import attrs
from tinycomp.program import Step

INLINE = 64  # bytes up to which compilers write a copy out


def pool(step: Step, graph: Graph) -> Made:
    """Pools: for each column groups of four channels, then single ones, over the window's taps."""
    x, out, a = graph.ins(step.node)[0], graph.out(step.node), attrs(step.node)
    kh, kw = a.size
    count, kernel = out.shape[-1], step.function.kernel
    reduces = kernel.startswith("reduce")
    at = float(step.calls * out.shape[2])
    rows = 1 if reduces else kh
    top, bottom, left, right = a.padding
    beyond = ((left + right) * rows + (0 if reduces else (top + bottom) * kw / max(1, out.shape[1]))) * step.calls
    made = fixed(step, kh) | {"columns": at, "in_columns": x.elements / x.shape[-1]}
    single = reduces and kernel != "reduce_dsp"
    missing = step.calls * bool(step.function.params.get("rows_missing"))
    made["rows?"] = float(missing * kh)
    for width, groups in ((GROUP, 0 if single else count // GROUP), (1, count if single else count % GROUP)):
        sizes = {
            "": at * groups,
            "·kh": at * groups * rows,
            "·taps": at * groups * rows * kw,
            "·beyond": beyond * groups,
        }
        made |= formed({f"by{width}{name}": v for name, v in sizes.items()}, flag(step, "edges"), trips(kw),
                       f"{flag(step, 'edges')},{trips(kw)}")  # fmt: skip
    window = kh * kw
    division = "shift" if window & (window - 1) == 0 else "multiply"
    if bool(step.function.params.get("edges")) or missing:
        division = "divide"
    final = float(out.elements)
    made |= formed({"final": final, "final columns": final / count}, division, flag(step, "activation"))
    made |= {"⌈out/16⌉": float(step.calls * -(-count // VECTOR)), "in/16": float(x.elements // VECTOR),
             "⌈out/4⌉·in_w": float(step.calls * -(-count // GROUP) * x.shape[2])}  # fmt: skip
    return made, ("final", "columns")


def mean(step: Step, graph: Graph) -> Made:
    """Means: a nest over what is kept, in it one over what is averaged."""
    x, out = graph.ins(step.node)[0], graph.out(step.node)
    made = fixed(step) | {"in": float(x.elements), "final": float(out.elements)}
    if not listed(step, "kept") and not listed(step, "reduced"):  # sums of four channels or sixteen
        c, width = number(step, "channels", 1), number(step, "in_w", x.shape[-2] if len(x.shape) > 1 else 1)
        groups = float(step.calls * (c // GROUP))
        made |= {
            "groups": groups, "groups·in_w": groups * width, "groups·(in_w%4)": groups * (width % GROUP),
            "groups·long": groups * (width > 2 * GROUP), "rest": float(step.calls * (c % GROUP)),
            "rest·in_w": float(step.calls * (c % GROUP) * width),
            "⌈c/4⌉·in_w": float(step.calls * -(-c // GROUP) * width), "channels": float(step.calls * c),
        }  # fmt: skip
        return made, ("final",)
    kept, reduced = (cast("tuple[tuple[int, int], ...]", listed(step, name)) for name in ("kept", "reduced"))
    times, depths = float(step.calls), Features()
    for depth, (count, _) in enumerate(kept):
        depths[f"kept{depth}"] = times * (count > 1)
        times *= count
    made |= depths | {"kept": times}
    inner = reduced[-1] if reduced else (1, 1)
    form = f"{len(kept)},{len(reduced)}"
    entered = times
    for depth, (count, _) in enumerate(reduced):
        made[f"reduced{depth}"] = entered * (count > 1)
        entered *= count
    loops = {"kept": times, "sums": entered, "loops": entered / inner[0] * (inner[0] > 1)}
    made |= formed(loops, form, trips(inner[0]), f"{form},{trips(inner[0])},{inner[1] == 1}")
    return made, ("final",)


def binary(step: Step, graph: Graph) -> Made:
    """Two operands: the innermost loop's body is what its operands need, literal shifts included."""
    out = graph.out(step.node)
    p, n = step.function.params, step.leaf.numbers
    loops = number(step, "loops", 1)
    sizes = [number(step, f"n{i}", 1) for i in range(loops)]
    total, rows = float(out.elements), out.elements / max(1, sizes[-1])
    made = fixed(step, 2) | {"rows": rows, "elements": total}
    length = out.elements // max(1, step.calls)
    made |= {
        "words": float(step.calls * (length // GROUP)), "rests": float(step.calls * (length % GROUP)),
        "⌈/16⌉": float(step.calls * -(-length // VECTOR)), "⌈/4⌉": float(step.calls * -(-length // GROUP)),
    }  # fmt: skip
    outer = float(step.calls)
    for depth, times in enumerate(sizes[:-1]):
        outer *= times
        made[f"nest{depth}"] = outer
    made |= formed({"rows": rows}, f"{loops}", trips(sizes[-1]))
    made |= formed({"elements": total}, trips(sizes[-1]))
    for name in ("a", "b"):
        moves = bool(p.get(f"step_{name}", True))
        sign = n.get(f"shift_{name}", 0) > 0
        plain = n.get(f"mantissa_{name}", 0) & 0xFFFF == 0  # a half of the product that compilers leave out
        body = f"{name}:{p.get(f'half_{name}')},{sign},{plain}"
        made[f"{'elements' if moves else 'rows'}[{body}]"] = total if moves else rows
    made |= formed(
        {"elements": total}, f"out:{n.get('shift_out', 0) > 0},{n.get('low') != -128},{n.get('high') != 127}"
    )
    code = listed(step, "code")
    made["instructions"] = made["words"] * len(code)
    both = f"{flag(step, 'step_a', 'half_a')}|{flag(step, 'step_b', 'half_b')}"
    made |= formed({"elements": total, "rows": rows}, both)
    return made, ("elements", "calls")


def elements(step: Step, graph: Graph) -> Made:
    """Anything else: elements, rows of them, nests of loops, copies."""
    ins, out = graph.activations(step.node), graph.out(step.node)
    n, deep = out.elements, out.shape[-1] if out.shape else 1
    each = n // max(1, step.calls)
    made = fixed(step, max(1, len(ins)))
    made |= {"elements": float(n), "words": float(step.calls * (each // GROUP)), "vectors": n / deep,
             "rests": float(step.calls * (each % GROUP)), "in": float(sum(t.elements for t in ins)),
             "bytes": float(out.bytes), "⌈/16⌉": float(step.calls * -(-each // VECTOR))}  # fmt: skip
    made["lines"] = float(sum(t.elements // (t.shape[-1] if t.shape else 1) for t in ins))
    made |= _nested(step) | _copies(step)
    if (entries := number(step, "entries")) and entries < 256:
        made |= {"tested": float(n), "entries": float(n) * entries / 256}
    return made, ("elements", "calls", "vectors", "in")


def _nested(step: Step) -> Features:
    """How often each loop of a nest is entered, from the trips that the kernel's parameters list."""
    made: Features = {}
    found = cast("tuple[tuple[int, int], ...]", listed(step, "loops"))
    times = float(step.calls)
    for depth, (count, stride) in enumerate(found):
        last = depth == len(found) - 1
        made[f"enter{depth - len(found)}"] = times
        times *= count
        made[f"loops{depth - len(found)}"] = times
        if last:
            made |= {f"innermost[{'copy' if stride == 1 else 'step'}]": times,
                     f"enter[{'copy' if stride == 1 else 'step'},{trips(count)}]": times / count,
                     f"innermost[{'copy' if stride == 1 else 'step'},{trips(count)}]": times}  # fmt: skip
            if stride == 1:
                size = {"int8_t": 1}.get(str(step.function.params.get("type")), 4)
                made |= _blocks(step.calls, [(int(times / count / max(1, step.calls)), count * size)])
    return made


def _copies(step: Step) -> Features:
    """Blocks of bytes that are copied, those that are written out and those that are library calls."""
    p = step.function.params
    parts, repeat = listed(step, "parts"), p.get("repeat")
    blocks: list[tuple[int, int]] = []
    if parts and isinstance(repeat, int):
        blocks = [(repeat, part[2]) for part in cast("tuple[tuple[bool, int, int], ...]", parts)]
    elif nest := cast("tuple[tuple[int, int, int], ...]", listed(step, "runs")):
        times = 1
        for depth, (before, inner, after) in enumerate(nest):
            blocks += [(times, before), (times, after)]
            blocks += [(times, inner)] if depth == len(nest) - 1 else []
            times *= inner
    return _blocks(step.calls, blocks)


def _blocks(calls: int, blocks: list[tuple[int, int]]) -> Features:
    made: Features = {}
    for times, size in blocks:
        long, n = size > INLINE, float(calls * times * (size > 0))
        sizes = (
            {"calls of copies": n, "long words": n * (size // 4), "long rests": n * (size % 4),
             "long 16": n * (size // 16), "long tail": n * (size % 16 // 4)}
            if long
            else {"copies": n, "short words": n * (size // 4), "short rests": n * (size % 4),
                  f"copies of {size if size <= 8 else 'more'}": n}
        )  # fmt: skip
        for name, value in sizes.items():
            made[name] = made.get(name, 0.0) + value
    return made
