"""`tinycomp boards`: what is known of boards, and which of them can hold a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinycomp.errors import BadInput

if TYPE_CHECKING:
    from tinycomp.battery import Battery
    from tinycomp.target import Board


@click.command()
@click.argument("names", metavar="[BOARD]...", nargs=-1)
@click.option("--fit", "model", type=click.Path(path_type=Path), metavar="MODEL",
              help="Which boards can hold the model, how full they get, its time and energy.")  # fmt: skip
@click.option("--battery", "mah", type=float, metavar="MAH",
              help="With --fit and --rate: days that a battery of so many mAh lasts.")  # fmt: skip
@click.option("--rate", "rate_hz", type=float, metavar="HZ", help="Inferences a second, for --battery.")
@click.option("--volts", type=float, default=3.7, show_default=True, help="The battery's average voltage.")
@click.option("--sleep-ua", type=float, default=0.0, metavar="UA",
              help="Current that flows all the time (sleep mode, sensor), in µA.")  # fmt: skip
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE",
              help="With --fit: write the table as one HTML file.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def boards(names: tuple[str, ...], model: Path | None, mah: float | None, rate_hz: float | None, volts: float,
           sleep_ua: float, page: Path | None, as_json: bool) -> None:  # fmt: skip
    """The boards, or all that is known of one: usable flash and RAM, core, emulator."""
    from tinycomp import terminal
    from tinycomp.battery import battery_of
    from tinycomp.report import tables
    from tinycomp.target import load_board, load_boards

    chosen = [load_board(name) for name in dict.fromkeys(names)] or list(load_boards().values())
    battery = battery_of(mah, rate_hz, volts, sleep_ua)
    if model is not None:
        _fit(model, chosen, battery, page, as_json)
        return
    for option, given in (("--battery", battery), ("--html", page)):
        if given is not None:
            raise BadInput("needs a model", where=option, fix="add --fit MODEL")
    alone, facts = len(names) == 1, [tables.board_facts(b) for b in chosen]
    terminal.tell(facts[0] if alone else facts, "", tables.board_sections(chosen, detailed=alone), as_json)


def _fit(model: Path, chosen: list[Board], battery: Battery | None, page: Path | None, as_json: bool) -> None:
    from tinycomp import on_boards, terminal

    loaded = terminal.load(model, as_json)
    with terminal.progress(f"fitting {model.name}", len(chosen)) as advance:
        found = on_boards.fits(loaded, chosen, advance)
    title = f"{model.name} fits {sum(f.fits for f in found)} of {len(found)} boards"
    if page is not None:
        page.write_text(on_boards.page(title, found, battery), "utf-8")
    if page is None or as_json:
        terminal.tell(on_boards.facts(found, battery), title, on_boards.sections(found, battery), as_json)
    else:
        click.echo(f"wrote {page}")
