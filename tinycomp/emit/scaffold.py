"""A project of the user's own around a model: Makefile, README, and a host program to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinycomp.emit.library import environment
from tinycomp.errors import BadInput
from tinycomp.target import Board

# File of the project, template.
FILES = (
    (".gitignore", "gitignore.j2"),
    ("Makefile", "Makefile.j2"),
    ("README.md", "README.md.j2"),
    ("main.c", "main.c.j2"),
)


def scaffold(board: Board, report: Mapping[str, Any]) -> dict[str, str]:
    """File name to text. report: of a build of the model, whose prefix and ports the files name."""
    env = environment()
    values = {"name": report["model"]["name"], "prefix": report["model"]["name"].upper(), "board": board.id,
              "title": board.title, "framework": board.frameworks[0], "emulated": board.emulator is not None,
              "input": report["inputs"][0]["dtype"], "output": report["outputs"][0]["dtype"],
              "arena": report["arena_bytes"]}  # fmt: skip
    return {file: env.get_template(f"new/{template}").render(values) for file, template in FILES}


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write a new folder. Raises BadInput where there is something in it already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput("exists and is not empty", where=str(folder), fix="choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (folder / name).write_bytes(body if isinstance(body, bytes) else body.encode())
