"""How long a battery lasts: inferences at a rate, each of a known energy, and a current between them."""

from __future__ import annotations

from dataclasses import dataclass

from tinycomp.errors import BadInput

VOLTS = 3.7  # of a lithium cell, on average


@dataclass(frozen=True)
class Battery:
    """A battery and what it is used for. Raises BadInput where a figure is not positive (sleep: not negative).

    mah: its capacity in milliampere-hours. volts: its average voltage. rate_hz: inferences a second. sleep_ua: the
    current that flows all the time, in microamperes: sleep mode, sensor, regulator; of which the data sheet tells.
    """

    mah: float
    rate_hz: float
    volts: float = VOLTS
    sleep_ua: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for option, value in (("--battery", self.mah), ("--rate", self.rate_hz), ("--volts", self.volts)):
            if not 0 < value < float("inf"):
                raise BadInput(f"{value:g} is not a positive number", where=option)
        if not 0 <= self.sleep_ua < float("inf"):
            raise BadInput(f"{self.sleep_ua:g} is not a current", where="--sleep-ua")

    def days(self, microjoules: float) -> float:
        """Days until it is empty, if nothing is lost on the way from the battery to the chip."""
        return self.mah * 1000 / (self.sleep_ua + self.rate_hz * microjoules / self.volts) / 24

    def keeps_up(self, milliseconds: float) -> bool:
        """Whether inferences of that length can be made at the rate at all."""
        return self.rate_hz * milliseconds <= 1000

    def __str__(self) -> str:
        """What it was reckoned for, in words."""
        between = f"and {self.sleep_ua:g} µA" if self.sleep_ua else "and nothing else"
        return f"{self.mah:g} mAh at {self.volts:g} V, for {self.rate_hz:g} inferences a second {between}"


def battery_of(mah: float | None, rate_hz: float | None, volts: float, sleep_ua: float) -> Battery | None:
    """The battery that was asked for, None where none was. Raises BadInput where half of it is missing."""
    if mah is None and rate_hz is None:
        return None
    if mah is None or rate_hz is None:
        missing, given = ("--battery", "--rate") if mah is None else ("--rate", "--battery")
        raise BadInput(f"needs {missing} besides", where=given, fix="such as --battery 1000 --rate 10")
    return Battery(mah, rate_hz, volts, sleep_ua)
