"""Values of options that several commands take, read from what the user has typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tinycomp.ops.custom import Definition


def size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Bytes, such as 64K."""
    from tinycomp.target import parse_bytes

    return None if value is None else parse_bytes(value)


def pixels(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """The real values of black and white, LOW:HIGH."""
    from tinycomp.quantize.files import pixels_of

    return None if value is None else pixels_of(value)


which = click.option("--model", metavar="NAME", help="Which model of a firmware of several.")


def _custom(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[Definition, ...]:
    """The files of custom operators, NAME=FILE.c.j2; of one that is given twice, the last."""
    from tinycomp.ops.custom import load

    pairs = {name: file for name, _, file in (value.partition("=") for value in values)}
    return tuple(load(name, Path(file)) for name, file in pairs.items())


custom_ops = click.option(
    "--custom-op", "custom", multiple=True, metavar="NAME=FILE.c.j2", callback=_custom,
    help="The C of the model's custom operator NAME, with its meaning in FILE.py beside it, which is run. Repeatable.",
)  # fmt: skip
