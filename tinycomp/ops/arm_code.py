"""Straight-line Armv7E-M code as data: tuples that a template prints as inline assembly and, for hosts, as C.

An instruction is (name, operands…) with the names of the macros in templates/shared/arm_asm.j2 and arm_c.j2; operands
are register names or numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Instruction = tuple[str | int | bool | None, ...]
Code = tuple[Instruction, ...]

REGISTERS = 14  # general registers of a naked function: all but the stack and program counters
_LOADS = ("load", "load_any", "load_next", "load_stride", "row_address", "row_word")
_LONGER = {"at_least": 3, "at_most": 3, "plus_three": 2, "minus_three": 2}


def cycles(code: Iterable[Instruction]) -> int:
    """Cycles on Cortex-M4 (TRM table 3-1): one each, two for a load that does not follow another."""
    total, after_load = 0, False
    for instruction in code:
        load = instruction[0] in _LOADS
        total += (1 if after_load else 2) if load else _LONGER.get(str(instruction[0]), 1)
        after_load = load
    return total


def pool_size(code: Iterable[Instruction]) -> int:
    """How many of the registers r0, r1, … the code uses."""
    return 1 + max((int(x[1:]) for i in code for x in i[1:] if isinstance(x, str) and x[0] == "r"), default=-1)


def requantize(acc: str, scale: Sequence[str], *, two: bool, right: int | None, low: int, high: int) -> Code:
    """The accumulator as an int8 (see ops/requant_dsp.py).

    scale: registers that hold mantissa, offset and, without `right`, shift.
    """
    code: list[Instruction] = []
    if two:
        code += [("smmulr", acc, acc, scale[0]), ("add_sign", acc), ("add", acc, acc, scale[1])]
    else:
        code.append(("smmla", acc, acc, scale[0], scale[1]))
    if right is None:
        code.append(("shift_right", acc, scale[2]))
    code.append(("saturate", acc, right or 0))
    if low > -128:
        code.append(("at_least", acc, low))
    if high < 127:
        code.append(("at_most", acc, high))
    return tuple(code)


def finish(accs: Sequence[str], pool: Sequence[str], *, two: bool, right: int | None, low: int, high: int) -> Code:
    """Requantize accumulators and store them as bytes at y, y + stride, y + 2 · stride, …; y keeps its value.

    The next words at w are mantissa and offset, and the shift where `right` is None.
    """
    scale, stride = pool[: 3 if right is None else 2], pool[3 if right is None else 2]
    code: list[Instruction] = [("load_next", register, "w") for register in scale]
    if len(accs) > 1:
        code.append(("load_stride", stride))
    for p, acc in enumerate(accs):
        code += requantize(acc, scale, two=two, right=right, low=low, high=high)
        if p and p % 3 == 0:
            code.append(("plus_three", "y", "y", stride))
        code.append(("store_byte", acc, "y", stride if p % 3 else None, p % 3 == 2))
    code += [("minus_three", "y", "y", stride)] * ((len(accs) - 1) // 3)
    return tuple(code)


def four_channels(kh: int) -> Code:
    """Add one column of taps to the accumulators a0 … a3 of four channels, whose words are `at` into each of the rows.

    At w: for each pair of tap rows, a word of weights for each channel.
    """
    code: list[Instruction] = []
    for k in range(0, kh, 2):
        other = min(k + 1, kh - 1)
        code += [
            ("row_address", "r0", k),
            ("row_address", "r1", other),
            ("row_word", "r0", k),
            ("row_word", "r1", other),
        ]
        code += [("load_next", "r2", "w"), ("load_next", "r3", "w")]
        code += [("pack_low", "r4", "r0", "r1"), ("pack_high", "r1", "r0", "r1")]
        code += [("widen", "r0", "r4"), ("smlad", "a0", "r0", "r2", "a0")]
        code += [("widen_odd", "r4", "r4"), ("smlad", "a1", "r4", "r3", "a1")]
        code += [("load_next", "r2", "w"), ("load_next", "r3", "w")]
        code += [("widen", "r0", "r1"), ("smlad", "a2", "r0", "r2", "a2")]
        code += [("widen_odd", "r1", "r1"), ("smlad", "a3", "r1", "r3", "a3")]
    return tuple(code)


def four_results(*, two: bool, right: int | None, low: int, high: int) -> Code:
    """Requantize a0 … a3 and store them at y. At w: mantissa, offset and, without `right`, shift of each."""
    scales = (("r0", "r1", "r2"), ("r3", "r4", "r5")) if right is None else (("r0", "r1"), ("r2", "r3"))
    code: list[Instruction] = []
    for acc in (0, 2):
        code += [("load_next", register, "w") for scale in scales for register in scale]
        for i, scale in enumerate(scales):
            code += requantize(f"a{acc + i}", scale, two=two, right=right, low=low, high=high)
            code.append(("store_byte_at", f"a{acc + i}", "y", acc + i))
    return tuple(code)
