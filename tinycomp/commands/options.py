"""Values of options that several commands take, read from what the user has typed."""

from __future__ import annotations

import click


def size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Bytes, such as 64K."""
    from tinycomp.target import parse_bytes

    return None if value is None else parse_bytes(value)


def pixels(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """The real values of black and white, LOW:HIGH."""
    from tinycomp.quantize.files import pixels_of

    return None if value is None else pixels_of(value)


which = click.option("--model", metavar="NAME", help="Which model of a firmware of several.")
