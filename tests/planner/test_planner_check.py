"""`check` accepts a placement exactly if the plain definition of a safe one does."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycomp.planner import Buffer, Placement, PlannerError, check, place


def safe(buffers: list[Buffer], placement: Placement) -> bool:
    """The definition, pair by pair and byte by byte."""
    at = placement.offsets
    return all(
        at[b.name] >= 0 and at[b.name] % b.align == 0 and at[b.name] + b.size <= placement.size for b in buffers
    ) and not any(
        set(range(a.start, a.end)) & set(range(b.start, b.end))
        and set(range(at[a.name], at[a.name] + a.size)) & set(range(at[b.name], at[b.name] + b.size))
        for a, b in combinations(buffers, 2)
    )


def accepted(buffers: list[Buffer], placement: Placement) -> bool:
    try:
        check(buffers, placement)
    except PlannerError:
        return False
    return True


@st.composite
def instances(draw: st.DrawFn) -> list[Buffer]:
    rows = draw(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 8), st.integers(1, 4), st.sampled_from([1, 4])),
                         min_size=1, max_size=8))  # fmt: skip
    return [Buffer(f"b{i}", size, start, start + span, align) for i, (size, start, span, align) in enumerate(rows)]


@settings(deadline=None)
@given(instances(), st.data())
def test_any_placement_is_accepted_exactly_if_it_is_safe(buffers: list[Buffer], data: st.DataObject) -> None:
    offsets = {b.name: data.draw(st.integers(-1, 60)) * data.draw(st.sampled_from([1, b.align])) for b in buffers}
    placement = Placement(offsets, 80, 0, False)
    assert accepted(buffers, placement) == safe(buffers, placement)


@settings(deadline=None)
@given(instances(), st.data())
def test_a_good_placement_with_one_buffer_shifted_is_accepted_exactly_if_it_is_still_safe(
    buffers: list[Buffer], data: st.DataObject
) -> None:
    good = place(buffers, effort=0)
    shifted = data.draw(st.sampled_from(buffers))
    to = good.offsets[shifted.name] + shifted.align * data.draw(st.integers(-10, 10))
    mutated = Placement({**good.offsets, shifted.name: to}, good.size + 40, good.lower_bound, False)
    assert accepted(buffers, mutated) == safe(buffers, mutated)


PAIR = [Buffer("a", 8, 0, 2), Buffer("b", 8, 1, 3)]


@pytest.mark.parametrize(
    ("buffers", "offsets", "size", "message"),
    [
        (PAIR, {"a": 0, "b": 4}, 16, "overlap"),
        (PAIR, {"a": 4, "b": 0}, 16, "overlap"),
        (PAIR, {"a": 0, "b": 0}, 16, "overlap"),
        (PAIR, {"a": 0, "b": 10}, 20, "not a multiple of 4"),
        (PAIR, {"a": -4, "b": 8}, 16, "negative offset -4"),
        (PAIR, {"a": 0, "b": 8}, 15, "ends at 16 in an arena of 15 bytes"),
        (PAIR, {"a": 0}, 16, "'b': has no offset"),
        (PAIR, {"a": 0, "b": 8, "c": 16}, 24, "'c': has an offset but is not to be placed"),
        ([*PAIR, PAIR[0]], {"a": 0, "b": 8}, 16, "two buffers have this name"),
        ([Buffer("big", 100, 0, 9), Buffer("in", 4, 3, 4)], {"big": 0, "in": 48}, 100, "both alive at step 3"),
    ],
)
def test_a_fault_is_refused_with_its_name(
    buffers: list[Buffer], offsets: dict[str, int], size: int, message: str
) -> None:
    with pytest.raises(PlannerError, match=message):
        check(buffers, Placement(offsets, size, 0, False))


def test_lifetimes_are_half_open() -> None:
    before, after = Buffer("before", 8, 0, 2), Buffer("after", 8, 2, 3)
    check([before, after], Placement({"before": 0, "after": 0}, 8, 8, True))
    with pytest.raises(PlannerError, match="alive at step 1"):
        check([before, Buffer("after", 8, 1, 3)], Placement({"before": 0, "after": 0}, 8, 8, True))
