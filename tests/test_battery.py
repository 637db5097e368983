"""How long a battery lasts: by hand, at the ends, and in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycomp.battery import Battery, battery_of
from tinycomp.errors import BadInput

positive = st.floats(1e-3, 1e6)


def test_a_thousand_milliampere_hours_at_a_milliampere_are_a_thousand_hours():
    assert Battery(1000, rate_hz=10, volts=3.7).days(370) == pytest.approx(1000 / 24)
    assert Battery(1000, rate_hz=10, volts=3.7, sleep_ua=1000).days(370) == pytest.approx(500 / 24)


@given(positive, positive, positive, positive, positive)
def test_more_energy_a_higher_rate_and_more_current_shorten_the_days(mah, rate, volts, sleep, energy):
    days = Battery(mah, rate, volts, sleep).days(energy)
    assert 0 < days <= mah * 1000 / sleep / 24
    assert days >= Battery(mah, rate, volts, sleep).days(2 * energy)
    assert days >= Battery(mah, 2 * rate, volts, sleep).days(energy)
    assert days >= Battery(mah, rate, volts, 2 * sleep).days(energy)
    assert days == pytest.approx(Battery(2 * mah, rate, volts, sleep).days(energy) / 2)


def test_a_rate_is_kept_up_until_inferences_take_all_the_time():
    assert Battery(1, rate_hz=20).keeps_up(50)
    assert not Battery(1, rate_hz=20).keeps_up(50.1)


@pytest.mark.parametrize(("figures", "where"), [
    ({"mah": 0}, "--battery"), ({"mah": float("nan")}, "--battery"), ({"rate_hz": -1}, "--rate"),
    ({"volts": float("inf")}, "--volts"), ({"sleep_ua": -1}, "--sleep-ua"),
])  # fmt: skip
def test_figures_that_make_no_sense_are_refused(figures, where):
    with pytest.raises(BadInput) as caught:
        Battery(**{"mah": 1.0, "rate_hz": 1.0, **figures})
    assert caught.value.where == where


def test_capacity_and_rate_come_together_or_not_at_all():
    assert battery_of(None, None, 3.7, 0) is None
    assert battery_of(230, 10, 3, 5) == Battery(230, 10, 3, 5)
    for given_ in ((230, None), (None, 10)):
        with pytest.raises(BadInput):
            battery_of(*given_, 3.7, 0)
