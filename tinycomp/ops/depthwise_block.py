"""A block of depthwise outputs in registers: which words of input a row's strip holds, and the code that passes by.

A strip holds, for a group of channels, the input columns of a row of outputs as pairs of bytes that one
SMLAD multiplies. A unit of the strip is two neighbouring columns, a slot of a unit one pair for each channel. Of
several channels, these are words of channels 0 and 1, channels 2 and 3, …, as bytes (x0 x1 y0 y1), of which SXTB16
takes every other one; of a single channel they are 16-bit numbers already. The slots of a unit hold

    2q, 2q + 1      tap rows 2q and 2q + 1 of the left column, and of the right one
    kh - 1          the last of an odd number of tap rows: its left and right column (`Layout.mixed`),
    kh - 1, kh      or, for wide kernels, the left column and the right one, each beside itself
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tinycomp.ops.arm_code import REGISTERS, Code, Instruction

Tap = tuple[int, int]  # row, column
Pair = tuple[Tap, Tap | None]  # weights of one word, the second in the high half
TAPS_AT_ONCE = 3  # weight words of two tap rows that stay in registers
POINTERS = 3  # registers: the strip, the stream, the output
REQUANTIZATION = 4  # registers: mantissa, offset, shift, the output's stride


class Layout(NamedTuple):
    """Window and strip of a row. start: the strip's column where output 0's window begins; columns: the strip's;
    group: its channels.
    """

    kh: int
    kw: int
    stride: int
    start: int
    columns: int
    group: int

    @property
    def mixed(self) -> bool:
        """The last of an odd number of tap rows is paired along its columns."""
        return self.kh % 2 == 1 and self.kw <= 3

    @property
    def slot(self) -> int:
        """Bytes of a slot."""
        return max(2 * self.group, 4)

    @property
    def unit(self) -> int:
        """Bytes of a unit."""
        return self.slot * (self.kh if self.mixed or self.kh % 2 == 0 else self.kh + 1)

    def inputs(self, offset: int) -> tuple[Tap, Tap]:
        """Tap row and column of the two inputs in the word at this offset of the strip."""
        column, row = divmod(offset // self.slot, self.unit // self.slot)
        if row < self.kh - self.kh % 2:
            return (row // 2 * 2, 2 * column + row % 2), (row // 2 * 2 + 1, 2 * column + row % 2)
        if self.mixed:
            return (row, 2 * column), (row, 2 * column + 1)
        return (self.kh - 1, 2 * column + row - self.kh + 1), (self.kh - 1, 2 * column + row - self.kh + 1)

    def taps(self, output: int) -> tuple[int, ...]:
        """The tap columns of an output that are in the strip; what they leave out is padding, part of its bias."""
        first = self.start + output * self.stride
        return tuple(t for t in range(self.kw) if 0 <= first + t < self.columns)


class Product(NamedTuple):
    """One multiplication: which instruction, into which output, with which of the pass's weight words."""

    name: str
    output: int
    word: int


class Pass(NamedTuple):
    """Weight words, and the strip's words in order with the products of each."""

    weights: tuple[Pair, ...]
    words: tuple[tuple[int, tuple[Product, ...]], ...]


class Block(NamedTuple):
    """weights: in the order in which the code reads them, after the biases. biases: tap columns that each covers."""

    code: Code
    biases: tuple[tuple[int, ...], ...]
    weights: tuple[Pair, ...]


def passes(at: Layout, pixels: int) -> Iterator[Pass]:
    """The walks over the strip that make all products of a block."""
    for row in range(0, at.kh - 1 if at.kh % 2 else at.kh, 2):
        yield from _row_pair(at, pixels, row, row + 1)
    if at.mixed:
        yield _mixed(at, pixels)
    elif at.kh % 2:
        yield from _row_pair(at, pixels, at.kh - 1, None)


def _row_pair(at: Layout, pixels: int, row: int, other: int | None) -> Iterator[Pass]:
    """Products with words of two tap rows in one column, a few tap columns at a time."""
    for first in range(0, at.kw, TAPS_AT_ONCE):
        taps = range(first, min(first + TAPS_AT_ONCE, at.kw))
        words: list[tuple[int, tuple[Product, ...]]] = []
        for column in range(at.columns):
            found = [Product("smlad", p, column - at.start - p * at.stride - first) for p in range(pixels)
                     if column - at.start - p * at.stride in taps]  # fmt: skip
            if found:
                words.append((column // 2 * at.unit + at.slot * (row + column % 2), tuple(found)))
        yield Pass(tuple(((row, t), None if other is None else (other, t)) for t in taps), tuple(words))


def _mixed(at: Layout, pixels: int) -> Pass:
    """Products with words of two neighbouring columns in the last tap row."""
    parities = {(at.start + p * at.stride) % 2 for p in range(max(pixels, 2))}
    weights = [(t, t + 1) for parity in sorted(parities) for t in range(parity, at.kw - 1, 2)]
    held = {t for pair in weights for t in pair}
    weights += [(t, -1) for t in range(at.kw) if t not in held]
    words: list[tuple[int, tuple[Product, ...]]] = []
    for unit in range((at.columns + 1) // 2):
        found: list[Product] = []
        for p in range(pixels):
            taps = (2 * unit - at.start - p * at.stride, 2 * unit + 1 - at.start - p * at.stride)
            inside = [h for h in (0, 1) if 0 <= taps[h] < at.kw and 2 * unit + h < at.columns]
            if len(inside) == 2:
                found.append(Product("smlad", p, weights.index(taps)))
            elif inside:
                word = next(i for i, pair in enumerate(weights) if taps[inside[0]] in pair)
                half = weights[word].index(taps[inside[0]])
                found.append(Product(f"smla{'bt'[inside[0]]}{'bt'[half]}", p, word))
        if found:
            words.append((unit * at.unit + at.slot * (at.kh - 1), tuple(found)))
    row = at.kh - 1
    return Pass(tuple(((row, a), (row, b) if b >= 0 else None) for a, b in weights), tuple(words))


def fits(at: Layout, pixels: int) -> bool:
    """A block's accumulators, its weights and an input word have registers."""
    words = max(len(p.weights) for p in passes(at, pixels)) + 1
    return pixels + max(words, REQUANTIZATION) + POINTERS <= REGISTERS


def block(at: Layout, pixels: int) -> Block:
    """The products of `pixels` outputs for one channel: accumulators a0, a1, …, the strip at x, its stream at w.

    The registers r0, r1, … hold weights and input words. The stream is: one bias for every set of tap columns that
    outputs have in the strip; the weight words.
    """
    pool = [f"r{i}" for i in range(REGISTERS - POINTERS - pixels)]
    sums = _Sums(at, pixels)
    code = [*sums.loads]
    weights: list[Pair] = []
    for walk in passes(at, pixels):
        held, free = pool[: len(walk.weights)], pool[len(walk.weights) :]
        code += [("load_next", register, "w") for register in held]
        weights += walk.weights
        for first in range(0, len(walk.words), len(free)):
            group = [*zip(free, walk.words[first : first + len(free)], strict=False)]
            load = "load" if at.group == 1 else "load_any"
            code += [(load, register, "x", offset) for register, (offset, _) in group]
            code += [("widen", register) for register, _ in group] if at.group > 1 else []
            for register, (_, products) in group:
                for name, output, word in products:
                    code += sums.hand_on(output)
                    code.append((name, f"a{output}", register, held[word], f"a{sums.source(output)}"))
    code += sums.hand_on(None)
    return Block(tuple(code), sums.biases, tuple(weights))


class _Sums:
    """Accumulators that begin as biases. Outputs with equal biases share one load, into the last of them; the others
    add their first product to it from there."""

    def __init__(self, at: Layout, pixels: int) -> None:
        taps = [at.taps(p) for p in range(pixels)]
        self.biases = tuple(dict.fromkeys(taps))
        self._holder = [max(p for p in range(pixels) if taps[p] == own) for own in taps]
        self._started: set[int] = set()
        self.loads: list[Instruction] = [("load_next", f"a{self._holder[taps.index(own)]}", "w") for own in self.biases]

    def hand_on(self, output: int | None) -> list[Instruction]:
        """Before `output`'s first product takes its bias away (None: at the end), copies to those who still need it."""
        if output is not None and (output in self._started or self._holder[output] != output):
            return []
        waiting = [p for p, holder in enumerate(self._holder) if p not in self._started and holder != p]
        late = [p for p in waiting if output in (None, self._holder[p])]
        self._started.update(late)
        return [("copy", f"a{p}", f"a{self._holder[p]}") for p in late]

    def source(self, output: int) -> int:
        """Where the sum so far of an output is, which from here on is its own register."""
        found = output if output in self._started else self._holder[output]
        self._started.add(output)
        return found
