"""Weights and rescaling of the inner loops for the DSP extension, computed here as the instructions do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycomp import qmath
from tinycomp.ir import Array
from tinycomp.ops import dot
from tinycomp.ops.requant import Multipliers


def multipliers(reals: list[float]) -> Multipliers:
    found = [qmath.quantize_multiplier(r) for r in reals]
    return Multipliers(np.array([m.mantissa for m in found]), np.array([m.shift for m in found]))


def finished(chosen: dot.Rescale, channel: int, sums: qmath.Int64) -> qmath.Int64:
    """SMMLA or SMMLAR, the shift, SSAT: int8 of a channel's sums, as the assembly has it."""
    mantissa, offset, shift = (int(n) for n in chosen.numbers[channel])
    if chosen.finish == "floor":
        scaled = (256 * sums if channel % 2 else sums) << shift
        assert np.abs(scaled).max() < 2**31
        return np.clip(((scaled * mantissa >> 32) + offset) >> dot.RIGHT, -128, 127)
    high = (2 * sums * mantissa + 2**31) >> 32
    return np.clip((high + offset - (sums < 0)) >> shift, -128, 127)


def probes(bound: int, real: float) -> qmath.Int64:
    """Sums up to the bound: the ends, and those about every value at which the result steps."""
    steps = np.round((np.arange(-140, 140) + 0.5) / real).astype(np.int64)
    near = (steps[:, None] + np.arange(-2, 3)).ravel()
    spread = np.linspace(-bound, bound, 501).astype(np.int64)
    return np.unique(np.clip(np.concatenate([near, spread]), -bound, bound))


@given(
    exponents=st.lists(st.floats(-16.0, 0.9), min_size=4, max_size=4), inner=st.integers(1, 400),
    relu=st.booleans(), zero=st.integers(-128, 127), once=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
def test_every_form_rounds_as_the_reference_does(
    exponents: list[float], inner: int, relu: bool, zero: int, once: bool, seed: int
):
    rng = np.random.default_rng(seed)
    weights, bias = rng.integers(-127, 128, (4, inner)).astype(np.int8), rng.integers(-5000, 5000, 4).astype(np.int32)
    reals = [2.0**e for e in exponents]
    m, low = multipliers(reals), zero if relu else -128
    chosen = dot.rescale(weights, bias, m, zero, low, once)
    if chosen is None:
        return
    for channel, bound in enumerate(dot.sums(bias, weights)):
        sums = probes(int(bound), reals[channel])
        rescaled = (qmath.requantize_once if once else qmath.requantize)(sums, m.mantissa[channel], m.shift[channel])
        wanted = np.clip(rescaled + zero, low, 127)
        np.testing.assert_array_equal(np.maximum(finished(chosen, channel, sums), low), wanted)


@pytest.mark.parametrize(
    ("real", "zero", "low", "lowest", "inner", "finish"),
    [
        pytest.param(0.004, -128, -128, -127, 64, "floor", id="a ReLU"),
        pytest.param(0.004, 3, -128, -127, 64, "twice", id="negative results"),
        pytest.param(0.3, -128, -128, -127, 500, "twice", id="sums too wide for one right shift"),
        pytest.param(0.00001, -128, -128, -127, 64, "twice", id="a right shift beyond the common one"),
        pytest.param(0.004, -128, -128, -128, 64, "apart", id="256 b + a is no 16-bit number"),
        pytest.param(0.00001, -128, -128, -127, 3000, "apart", id="sums that do not fit beside another"),
        pytest.param(1.5, -128, -128, -127, 64, None, id="a shift to the left"),
        pytest.param(0.0001, -128, -128, -127, 70000, None, id="sums beyond 2^30"),
    ],
)
def test_the_form_is_the_cheapest_that_is_proven(
    real: float, zero: int, low: int, lowest: int, inner: int, finish: str | None
):
    weights = np.full((4, inner), lowest, np.int8)
    chosen = dot.rescale(weights, np.zeros(4, np.int32), multipliers([real] * 4), zero, low)
    assert (chosen and chosen.finish) == finish


def unpacked(stream: dot.Stream, column: Array, run: int, apart: bool) -> list[int]:
    """The sums of one column, as the inner loops compute them."""
    order, found = dot.pairs(len(column), run), list[int]()
    for group in stream.words.astype(np.int64):
        starts, words = group[:4], group[4 : 4 + 2 * stream.steps].reshape(-1, 2)
        for half in (0, 1):
            first, second = starts[2 * half : 2 * half + 2].tolist()
            for (i, j), word in zip(order, words[:, half].tolist(), strict=True):
                x = (int(column[i]), 0 if j is None else int(column[j]))
                bytes_, halves = np.int32(word).tobytes(), np.frombuffer(np.int32(word).tobytes(), np.int16)
                a = [int(np.frombuffer(bytes_, np.int8)[k]) for k in (0, 2)]
                b = [int(np.frombuffer(bytes_, np.int8)[k]) for k in (1, 3)] if apart else [int(h) for h in halves]
                first += x[0] * a[0] + x[1] * a[1]
                second += x[0] * b[0] + x[1] * b[1]
            second = int(qmath.wrap32(second))
            found += [int(first), second if apart else int(qmath.wrap32(second - first)) >> 8]
    return found


@pytest.mark.parametrize("lowest", [-127, -128])
@pytest.mark.parametrize(
    ("inner", "run"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (18, 9), (24, 12), (27, 9), (40, 4), (64, 64)]
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8])
def test_packed_weights_give_the_sums_of_the_weights(channels: int, inner: int, run: int, lowest: int):
    rng = np.random.default_rng(channels + inner)
    weights = rng.choice(np.array([lowest, -1, 0, 1, 127]), (channels, inner)).astype(np.int8)
    bias = rng.integers(-(2**20), 2**20, channels).astype(np.int32)
    numbers = np.arange(3 * channels).reshape(channels, 3)
    apart = lowest == -128
    stream = dot.stream(bias, weights, dot.Rescale("apart" if apart else "twice", numbers), run)
    assert stream.words.nbytes == stream.groups * stream.group_bytes
    assert (stream.steps + stream.skip) % dot.UNROLL == 0
    column = rng.integers(-128, 128, inner)
    found = unpacked(stream, column, run, apart)
    assert found[:channels] == (weights.astype(np.int64) @ column + bias).tolist()
    shifts = np.ascontiguousarray(stream.words[:, -9]).view(np.uint8)
    ends = np.column_stack([stream.words[:, -8:].reshape(-1, 2), shifts])
    assert ends[:channels].tolist() == numbers.tolist()


@pytest.mark.parametrize(("zero", "finish"), [(-128, "floor"), (3, "twice")])
@pytest.mark.parametrize("other", [0.004, 0.0041])
def test_channels_of_one_multiplier_share_its_rescaling_and_others_do_not(other: float, zero: int, finish: str):
    weights, bias = np.ones((4, 8), np.int8), np.zeros(4, np.int32)
    chosen = dot.rescale(weights, bias, multipliers([0.004, 0.004, 0.004, other]), zero, -128)
    assert chosen is not None
    assert chosen.finish == finish
    assert (chosen.one is None) == (other != 0.004)
    alike = dot.stream(bias, weights, chosen, 8, each=False)
    each = dot.stream(bias, weights, chosen, 8)
    assert alike.words.tolist() == each.words[:, :-9].tolist()
    assert (alike.words.nbytes, each.words.nbytes) == (alike.group_bytes, each.group_bytes)
