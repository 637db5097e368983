"""How features are made: named sizes, their products, and what a step has whatever its operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from tinycomp.program import Step

Features = dict[str, float]
Made = tuple[Features, tuple[str, ...]]  # and the names of those that each structural choice has a cost of its own for
PAIRED = 2  # columns that the blocked kernels take at a time
GROUP = 4  # channels
VECTOR = 16  # bytes of a vector register
SHORT = 4  # trips of a loop up to which compilers may write it out


def product(*parts: Mapping[str, float]) -> Features:
    """All products of one size of each part; "1" is left out of the names."""
    made: Features = {"": 1.0}
    for part in parts:
        made = {
            "·".join(p for p in (a, b) if p not in ("", "1")): x * y for a, x in made.items() for b, y in part.items()
        }
    return {name or "1": value for name, value in made.items()}


def formed(sizes: Mapping[str, float], *forms: str) -> Features:
    """The sizes, and once more for each form that the code has: what it costs beyond the common."""
    return {**sizes, **{f"{name}[{form}]": value for form in forms for name, value in sizes.items()}}


def trips(count: int) -> str:
    """The form of a loop whose trips are known: short ones may be written out."""
    return str(count) if count <= SHORT else "loop"


def fixed(step: Step, inputs: int = 1) -> Features:
    """What a step has whatever it does."""
    return {"step": 1.0, "calls": float(step.calls), "calls·inputs": float(step.calls * inputs)}


def clamped(step: Step, outputs: int) -> Features:
    """Calls, and their outputs, of a step that clamps to less than int8 where all of its outputs are made."""
    clamps = (number(step, "low", -128), number(step, "high", 127)) != (-128, 127)
    return {"clamping": float(step.calls * clamps), "clamped": float(step.calls * outputs * clamps)}


def columns(step: Step, width: int) -> Features:
    """Output columns of a step, singly and in blocks."""
    calls = step.calls
    return {"columns": calls * width, "pairs": calls * (width // PAIRED), "odd": calls * (width % PAIRED),
            "blocks": calls * -(-width // GROUP)}  # fmt: skip


def channels(count: int) -> Features:
    """Channels, singly and in groups."""
    return {
        "1": 1,
        "out": count,
        "out/4": count // GROUP,
        "out%4": count % GROUP,
        "⌈out/4⌉": -(-count // GROUP),
        "tail": float(count % GROUP > 0),
        "full": float(count >= GROUP),
        "⌈out/16⌉": -(-count // VECTOR),
    }


def leaving(step: Step, in_w: int, out_w: int, kw: int, block: int = 1) -> int:
    """Blocks of output columns of which some window leaves the image."""
    stride, left = walk(step)[0], walk(step)[2]
    dilation = walk(step)[1]
    starts = [c * stride - left for c in range(out_w)]
    return len({c // block for c, s in enumerate(starts) if s < 0 or s + (kw - 1) * dilation >= in_w})


def outside(step: Step, in_w: int, out_w: int, kw: int) -> int:
    """Taps of one tap row that lie outside the image, of all columns."""
    stride, dilation, left = walk(step)
    places = (c * stride - left + t * dilation for c in range(out_w) for t in range(kw))
    return sum(at < 0 or at >= in_w for at in places)


def walk(step: Step) -> tuple[int, int, int]:
    """Stride and dilation along a row, and the padding on its left."""
    a = step.node.attrs
    stride, dilation = (getattr(a, name, (1, 1))[1] for name in ("stride", "dilation"))
    return stride, dilation, getattr(a, "padding", (0, 0, 0, 0))[2]


def number(step: Step, name: str, otherwise: int = 0) -> int:
    """A number or an integer parameter of the step's leaf."""
    found = step.leaf.numbers.get(name, step.function.params.get(name, otherwise))
    return found if isinstance(found, int) else otherwise


def flag(step: Step, *names: str) -> str:
    """Parameters as one word, for a form."""
    return ",".join(str(step.function.params.get(name)) for name in names)


def listed(step: Step, name: str) -> tuple[object, ...]:
    """A parameter that is a tuple; () where it is none."""
    found = step.function.params.get(name)
    return cast("tuple[object, ...]", found) if isinstance(found, tuple) else ()
