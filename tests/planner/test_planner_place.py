"""`place` is safe always, smallest where that can be proved, deterministic, and bounded by a count of work."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycomp.errors import BadInput
from tinycomp.planner import Buffer, Placement, check, lower_bound, place
from tinycomp.planner.exact import prove
from tinycomp.planner.greedy import orders, pack_dense, pack_sparse, packer, stacked
from tinycomp.planner.improve import improve
from tinycomp.planner.problem import Layout, Problem, Work, components, neighbours, problem
from tinycomp.planner.repair import repair


def smallest(buffers: list[Buffer]) -> int:
    """The least arena, by trying every order: in one of them each buffer rests on those placed before it."""
    best = sum(b.size + b.align for b in buffers)
    for sequence in permutations(buffers):
        tops: list[tuple[Buffer, int]] = []
        for b in sequence:
            floor = max((top for other, top in tops if other.start < b.end and b.start < other.end), default=0)
            tops.append((b, -(-floor // b.align) * b.align + b.size))
        best = min(best, max(top for _, top in tops))
    return best


@st.composite
def instances(draw: st.DrawFn, most: int = 30, aligns: tuple[int, ...] = (1, 4, 16)) -> list[Buffer]:
    row = st.tuples(st.integers(1, 100), st.integers(-3, 12), st.integers(1, 6), st.sampled_from(aligns))
    rows = draw(st.lists(row, min_size=1, max_size=most))
    return [Buffer(f"b{i}", size, start, start + span, align) for i, (size, start, span, align) in enumerate(rows)]


def chain(count: int, seed: int) -> list[Buffer]:
    """Activations of a network with residual connections."""
    dice = random.Random(seed)
    sizes = [dice.choice([96, 384, 1000, 4608]) * dice.randint(1, 8) for _ in range(count)]
    spans = [2 + (dice.randint(1, 6) if dice.random() < 0.3 else 0) for _ in range(count)]
    return [Buffer(f"t{i}", size, i, i + span) for i, (size, span) in enumerate(zip(sizes, spans, strict=True))]


def scattered(count: int, steps: int, longest: int, sizes: list[int], seed: int) -> list[Buffer]:
    dice = random.Random(seed)
    starts = [dice.randrange(steps) for _ in range(count)]
    return [Buffer(f"s{i}", dice.choice(sizes), s, s + dice.randint(1, longest)) for i, s in enumerate(starts)]


HARD = scattered(60, 40, 12, list(range(4, 5000, 4)), 3)


@settings(deadline=None)
@given(instances())
def test_every_placement_passes_the_check_and_is_not_below_the_bound(buffers: list[Buffer]) -> None:
    placement = place(buffers, effort=20_000)
    check(buffers, placement)
    assert placement.size == max(placement.offsets[b.name] + b.size for b in buffers)
    assert lower_bound(buffers) == placement.lower_bound <= placement.size


@settings(deadline=None)
@given(instances(most=6))
def test_few_buffers_get_the_smallest_arena_and_the_proof(buffers: list[Buffer]) -> None:
    placement = place(buffers)
    check(buffers, placement)
    assert placement.size == smallest(buffers)
    assert placement.optimal


@settings(deadline=None)
@given(instances(most=6, aligns=(1, 2, 4, 6)), st.data())
def test_branch_and_bound_finds_the_smallest_arena_from_a_bad_start(buffers: list[Buffer], data: st.DataObject) -> None:
    group = data.draw(st.sampled_from(components(buffers)))
    p = problem(group)
    layout, proved = prove(p, stacked(p), Work(1_000_000))
    assert proved
    assert layout.size == smallest(group)


@settings(deadline=None)
@given(instances(most=6, aligns=(1, 2, 4, 6)))
def test_the_bound_never_exceeds_the_smallest_arena(buffers: list[Buffer]) -> None:
    assert lower_bound(buffers) <= smallest(buffers)


@pytest.mark.parametrize(
    ("rows", "bound"),
    [
        ([], 0),
        ([(5, 0, 1, 4), (5, 0, 1, 4)], 13),  # the lower one takes 8
        ([(5, 0, 1, 4), (7, 0, 1, 4)], 13),  # 8 + 5: the 5 on top
        ([(5, 0, 1, 4), (5, 0, 1, 6)], 11),  # offsets are multiples of 2
        ([(5, 0, 1, 1), (5, 0, 1, 4)], 10),
        ([(5, 0, 1, 4), (5, 1, 2, 4)], 5),  # never alive together
        ([(8, 0, 9, 4), (8, 2, 3, 4), (4, 4, 6, 4), (5, 5, 6, 4)], 17),
    ],
)
def test_the_bound_is_the_busiest_step_with_its_alignment(rows: list[tuple[int, int, int, int]], bound: int) -> None:
    assert lower_bound([Buffer(f"b{i}", *row) for i, row in enumerate(rows)]) == bound


@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_a_plain_chain_meets_the_bound(count: int) -> None:
    buffers = [Buffer(f"t{i}", 4 * (1 + i * 37 % 50), i, i + 2) for i in range(count)]
    placement = place(buffers)
    check(buffers, placement)
    assert placement.optimal
    assert placement.size == lower_bound(buffers)


@pytest.mark.parametrize("align", [1, 4, 16])
def test_row_slots_of_one_size_meet_the_bound_in_greedy_passes_alone(align: int) -> None:
    buffers = [Buffer(b.name, 90, b.start, b.end, align) for b in scattered(5000, 3000, 40, [90], 1)]
    placement = place(buffers, effort=0)
    check(buffers, placement)
    assert placement.size == lower_bound(buffers)


@pytest.mark.parametrize(
    ("buffers", "excess"),
    [
        pytest.param(chain(1000, 1), 0.0, id="chain-with-residuals"),
        pytest.param(scattered(1000, 500, 20, list(range(1, 5000)), 2), 0.02, id="random"),
        pytest.param(scattered(1000, 300, 200, list(range(1, 5000)), 2), 0.04, id="random-and-crowded"),
        pytest.param(scattered(5000, 3000, 40, [96, 384, 640], 3), 0.03, id="row-slots"),
    ],
)
def test_large_instances_come_close_to_the_bound(buffers: list[Buffer], excess: float) -> None:
    placement = place(buffers)
    check(buffers, placement)
    assert placement.size <= placement.lower_bound * (1 + excess)
    assert placement.optimal or excess


def test_a_dense_instance_of_thousands_is_placed() -> None:
    buffers = scattered(3000, 1000, 800, [96, 384, 640], 4)
    assert problem(buffers).conflicts > 1_500_000
    placement = place(buffers, effort=0)
    check(buffers, placement)
    assert placement.size <= placement.lower_bound * 1.1


def test_a_size_above_the_bound_is_not_called_optimal_without_proof() -> None:
    placement = place(HARD, effort=0)
    assert placement.size > placement.lower_bound
    assert not placement.optimal


@pytest.mark.parametrize("effort", [0, 100_000])
def test_the_same_input_gives_the_same_bytes(effort: int) -> None:
    assert place(HARD, effort=effort) == place(list(HARD), effort=effort)


@pytest.mark.parametrize("search", ["exact", "improve", "repair"])
def test_a_search_stops_when_its_work_is_spent_and_never_returns_worse(search: str) -> None:
    p = problem(HARD)
    work = Work(50_000)
    start = _greedy(p)
    found = {
        "exact": lambda: prove(p, start, work)[0],
        "improve": lambda: improve(p, packer(p, work), orders(p)[0], start, work),
        "repair": lambda: repair(p, start, work),
    }[search]()
    _check_layout(HARD, found)
    assert p.bound < found.size <= start.size
    assert 50_000 <= work.spent <= 60_000


def test_searching_improves_on_greedy_orders() -> None:
    p = problem(HARD)
    start = _greedy(p)
    for found in (repair(p, start, work := Work(400_000)),
                  improve(p, packer(p, work := Work(400_000)), orders(p)[0], start, work)):  # fmt: skip
        _check_layout(HARD, found)
        assert found.size < start.size


def _greedy(p: Problem) -> Layout:
    found = packer(p, Work(0))(orders(p)[0], stacked(p).size, False)
    assert isinstance(found, Layout)
    return found


def _check_layout(buffers: list[Buffer], layout: Layout) -> None:
    offsets = {b.name: at for b, at in zip(buffers, layout.offsets, strict=True)}
    check(buffers, Placement(offsets, layout.size, 0, False))


@settings(deadline=None)
@given(instances(), st.booleans(), st.integers(0, 6), st.integers(0, 600))
def test_both_packers_do_the_same(buffers: list[Buffer], best_fit: bool, which: int, limit: int) -> None:
    p = problem(buffers)
    order = orders(p)[which % len(orders(p))]
    sparse = pack_sparse(p, neighbours(p), order, limit, best_fit, Work(0))
    assert sparse == pack_dense(p, order, limit, best_fit, Work(0))


@settings(deadline=None)
@given(instances())
def test_orders_are_permutations_and_neighbours_are_those_alive_together(buffers: list[Buffer]) -> None:
    p = problem(buffers)
    assert all(sorted(order) == list(range(p.count)) for order in orders(p))
    near = neighbours(p)
    for i, a in enumerate(buffers):
        together = [j for j, b in enumerate(buffers) if i != j and a.start < b.end and b.start < a.end]
        assert sorted(near[i]) == together
        assert p.degree[i] == len(together)


def test_buffers_that_never_meet_share_the_arena() -> None:
    buffers = [Buffer("early", 100, 0, 2), Buffer("late", 40, 2, 3), Buffer("last", 20, 2, 4)]
    placement = place(buffers)
    assert placement.size == 100
    assert placement.optimal
    assert [len(group) for group in components(buffers)] == [1, 2]


def test_no_buffers_need_no_arena() -> None:
    placement = place([])
    check([], placement)
    assert (placement.size, placement.optimal, dict(placement.offsets)) == (0, True, {})


def test_two_buffers_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="buffer 'twin': 2 buffers have this name"):
        place([Buffer("twin", 4, 0, 1), Buffer("other", 4, 0, 1), Buffer("twin", 4, 5, 6)])


@pytest.mark.parametrize(
    ("row", "message"),
    [((0, 0, 1, 4), "has 0 bytes"), ((4, 3, 3, 4), r"\[3, 3\), which holds no step"), ((4, 0, 1, 0), "alignment of 0")],
)
def test_a_buffer_that_makes_no_sense_is_refused(row: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Buffer("x", *row)
