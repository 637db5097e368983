"""Rich tables, spinners and progress bars on a terminal; plain text when piped."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinycomp.report.text import Section, plain

if TYPE_CHECKING:
    from tinycomp.frontend import Model
    from tinycomp.ops.custom import Definition


def show(headline: str, sections: Sequence[Section]) -> None:
    """Print a report on stdout."""
    if not sys.stdout.isatty():
        parts = [headline] if headline else []
        click.echo("\n\n".join([*parts, *(plain(s) for s in sections if s.rows or s.notes)]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if headline:
        console.print(Text(headline, style="bold"))
    for s in sections:
        if s.rows:
            table = Table(
                title=Text(s.title, style="bold"), title_justify="left", box=None, header_style="dim", pad_edge=False
            )
            for header, a in zip(s.headers, s.align, strict=True):
                table.add_column(
                    Text(header), justify="right" if a == ">" else "left", overflow="ellipsis", no_wrap=a == ">"
                )
            for row in s.rows:
                table.add_row(*(Text(cell) for cell in row))
            console.print()
            console.print(table)
        elif s.notes:
            console.print()
            console.print(Text(s.title, style="bold"))
        for note in s.notes:
            console.print(Text(f"  {note}"))


def tell(facts: object, headline: str, sections: Sequence[Section], as_json: bool, written: Path | None = None) -> None:
    """Print what a command has found: as JSON and nothing else, or as a report and what was written of it."""
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    show(headline, sections)
    if written is not None:
        click.echo(f"\nwrote {written}")


def say_kept(kept: Sequence[str], folder: Path) -> None:
    """Say on stderr which files of the user were kept in a folder that was written again."""
    for path in kept:
        click.echo(f"kept your {folder / path}", err=True)


@contextmanager
def status(message: str, quiet: bool = False) -> Generator[None]:
    """A spinner on stderr while something is computed; nothing when stderr is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(message):
        yield


def load(path: Path, quiet: bool = False, custom: tuple[Definition, ...] = ()) -> Model:
    """The model in a file, with a spinner while one of another format is converted. Raises what frontend.load does."""
    from tinycomp import frontend

    with status(f"converting {path.name}", quiet=quiet or path.suffix == ".tflite"):
        return frontend.load(path, custom)


@contextmanager
def progress(message: str, total: int) -> Generator[Callable[[int], None]]:
    """A progress bar on stderr; the yielded function takes how many are done."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(message, total=total)
        yield lambda done: bar.update(task, completed=done)
