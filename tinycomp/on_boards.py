"""One model on many boards: which can hold it, and what is left of flash and RAM on each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tinycomp
from tinycomp.battery import Battery
from tinycomp.build import Build, Options, compile_model
from tinycomp.frontend import Model
from tinycomp.report.html import environment
from tinycomp.report.text import Section, number
from tinycomp.target import Board, Budget


@dataclass(frozen=True)
class Fit:
    """A model on a board. Bytes; cycles and milliseconds None where nothing predicts them. others: by region."""

    board: Board
    fits: bool
    arena: int
    others: Mapping[str, int]
    ram: int
    ram_limit: int
    flash: int
    flash_limit: int
    cycles: int | None

    @property
    def milliseconds(self) -> float | None:
        """One inference, from the predicted cycles and the board's clock."""
        return None if self.cycles is None else 1000 * self.cycles / self.board.clock_hz

    @property
    def microjoules(self) -> tuple[float, float, float] | None:
        """One inference: the middle figure, the least, the most; None where the cycles or the board's are not known."""
        return None if self.cycles is None or self.board.energy is None else self.board.energy.microjoules(self.cycles)

    def keeps_up(self, battery: Battery) -> bool | None:
        """Whether the board is fast enough for the rate; None where its time is not known."""
        return None if self.milliseconds is None else battery.keeps_up(self.milliseconds)

    def days(self, battery: Battery) -> tuple[float, float] | None:
        """How long the battery lasts with the most energy and with the least; None where that is not known."""
        if self.microjoules is None or not self.keeps_up(battery):
            return None
        return battery.days(self.microjoules[2]), battery.days(self.microjoules[1])


@dataclass(frozen=True)
class Column:
    """A column of the table. value: what a column of numbers sorts by. meter: a share in percent, drawn as a bar."""

    title: str
    text: Callable[[Fit], str]
    value: Callable[[Fit], float | None] | None = None
    meter: bool = False


def fits(model: Model, boards: Sequence[Board], say: Callable[[int], None] = lambda done: None) -> list[Fit]:
    """The model on each board with its first framework; the model must be one that builds take as it is.

    Boards of one core share a compilation where their SRAM holds the arena; `say` is told how many boards are done.
    Raises BadInput, Unsupported.
    """
    known: dict[tuple[str, int], Build] = {}
    found: list[Fit] = []
    for i, board in enumerate(boards):
        key = (board.core.id, board.flash.access_bytes)
        if key not in known:
            known[key] = compile_model(model, Options(board=board.id))
        made, budget = known[key], Budget.of(board)
        spread = len(made.report["regions"]) > 1 or made.report["ram_bytes"] > budget.ram
        if spread and made.board.id != board.id:
            made = compile_model(model, Options(board=board.id))
        found.append(_fit(board, budget, made.report))
        say(i + 1)
    return found


def fit_of(build: Build, fits: bool) -> Fit:
    """How a build does on the board that it was made for, within its budget; fits: what `build.require_fit` says."""
    return replace(_fit(build.board, build.budget, build.report), fits=fits)


def _fit(board: Board, budget: Budget, r: Mapping[str, Any]) -> Fit:
    others = r["regions"][1:]
    fits = (r["ram_bytes"] <= budget.ram and r["flash_bytes"] <= budget.flash
            and all(region["arena_bytes"] <= region["budget"] for region in others))  # fmt: skip
    return Fit(board, fits, r["arena_bytes"], {x["name"]: x["arena_bytes"] for x in others}, r["ram_bytes"],
               budget.ram, r["flash_bytes"], budget.flash, r["cycles"]["value"])  # fmt: skip


def facts(fits: Sequence[Fit], battery: Battery | None = None) -> list[dict[str, Any]]:
    """The table as plain data; `days` where there is a battery, from the most energy to the least, None where unknown
    or where the board cannot keep up with the rate."""
    return [
        {"board": f.board.id, "core": f.board.core.id, "clock_hz": f.board.clock_hz, "fits": f.fits,
         "arena_bytes": f.arena, "arena_elsewhere": dict(f.others), "ram_bytes": f.ram, "ram_budget": f.ram_limit,
         "flash_bytes": f.flash, "flash_budget": f.flash_limit, "cycles": f.cycles, "latency_ms": f.milliseconds,
         "energy_uj": f.microjoules and f.microjoules[0],
         "energy_range_uj": f.microjoules and list(f.microjoules[1:]),
         "energy_source": f.board.energy and f.board.energy.source,
         **({} if battery is None else {"keeps_up": f.keeps_up(battery), "days": f.days(battery)})}
        for f in fits
    ]  # fmt: skip


def sections(fits: Sequence[Fit], battery: Battery | None = None) -> list[Section]:
    """One line a board; columns of time, energy and days only where some board has a figure or it was asked for."""
    shown = columns(fits, battery)
    rows = tuple(tuple(c.text(f) for c in shown) for f in fits)
    align = "".join("<" if c.value is None else ">" for c in shown)
    return [Section("Boards", tuple(c.title for c in shown), align, rows, notes(fits, battery))]


def notes(fits: Sequence[Fit], battery: Battery | None = None) -> tuple[str, ...]:
    """What the columns mean, and where the energy comes from."""
    found = ["arena in bytes; RAM and flash as shares of what the board has for them"]
    if any(f.cycles is not None for f in fits):
        found.append("ms: modelled cycles at the board's clock, with memory that never waits")
    found += [f"µJ on {f.board.id}: {e.least:g} to {e.most:g} for a million cycles ({e.source})"
              for f in fits if f.microjoules and (e := f.board.energy)]  # fmt: skip
    if battery is not None:
        known = any(f.microjoules for f in fits)
        found.append(f"days: {battery}; a regulator's losses shorten them" if known else
                     "days: not known; no board here has both modelled cycles and a measured energy")  # fmt: skip
    return tuple(found)


def page(title: str, fits: Sequence[Fit], battery: Battery | None = None) -> str:
    """The table as one HTML file, which sorts by any column."""
    return environment().get_template("boards.html.j2").render(
        title=title, fits=fits, columns=columns(fits, battery), notes=notes(fits, battery),
        version=tinycomp.__version__)  # fmt: skip


def columns(fits: Sequence[Fit], battery: Battery | None) -> list[Column]:
    """What is shown of each board."""
    found = [
        Column("board", lambda f: f.board.id),
        Column("core", lambda f: f.board.core.id),
        Column("MHz", lambda f: f"{f.board.clock_hz / 1e6:g}", lambda f: f.board.clock_hz),
        Column("fits", lambda f: "yes" if f.fits else "NO"),
        Column("arena", lambda f: " + ".join([number(f.arena), *(f"{n:,} {region}" for region, n in f.others.items())]),
               lambda f: f.arena + sum(f.others.values())),
        Column("RAM", lambda f: _percent(f.ram, f.ram_limit), lambda f: _share(f.ram, f.ram_limit), meter=True),
        Column("flash", lambda f: _percent(f.flash, f.flash_limit), lambda f: _share(f.flash, f.flash_limit),
               meter=True),
    ]  # fmt: skip
    if any(f.cycles is not None for f in fits):
        found.append(Column("ms", lambda f: _short(f.milliseconds), lambda f: f.milliseconds))
    if battery is not None or any(f.microjoules for f in fits):
        found.append(Column("µJ", lambda f: _short(f.microjoules and f.microjoules[0]),
                            lambda f: f.microjoules and f.microjoules[0]))  # fmt: skip
    if battery is not None:
        found.append(Column("days", lambda f: _days(f, battery), lambda f: (f.days(battery) or (None,))[0]))
    return found


def _days(fit: Fit, battery: Battery) -> str:
    days = fit.days(battery)
    if days is None:
        return "too slow" if fit.keeps_up(battery) is False else "–"
    least, most = (f"{n:,.0f}" for n in days)
    return least if least == most else f"{least}–{most}"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _share(used: int, limit: int) -> float | None:
    return 100 * used / limit if limit else None


def _percent(used: int, limit: int) -> str:
    share = _share(used, limit)
    return "–" if share is None else f"{share:.1f} %"
