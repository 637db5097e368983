"""`tinycomp new DIR`: a project to start from."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path), metavar="MODEL", help="The .tflite file.")
@click.option("--board", default="esp32", show_default=True, metavar="BOARD", help="`tinycomp boards` lists them.")
def new(directory: Path, model: Path, board: str) -> None:
    """Start a project in DIR: the model, a Makefile, a README and a main.c that runs on this machine."""
    from tinycomp import build as builder
    from tinycomp import frontend
    from tinycomp.emit import scaffold

    loaded = frontend.load(model)
    made = builder.compile_model(loaded, builder.Options(board=board))
    files = scaffold.scaffold(made.board, made.report)
    scaffold.write(directory, {**files, "model.tflite": loaded.data})
    click.echo(f"wrote {directory}: {', '.join(sorted([*files, 'model.tflite']))}")
    click.echo(f"next: make -C {directory} all verify run")
