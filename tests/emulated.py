"""Build folders for emulated boards, as `tinycomp build` writes them, out of any graph."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.firmware import SHA256, write
from tinycomp.emit.library import Identity, library
from tinycomp.emit.project import Project, project_files
from tinycomp.harness.qemu import twin
from tinycomp.harness.setup import quiet_environment
from tinycomp.ir import Graph
from tinycomp.lower import lower
from tinycomp.program import Recipe
from tinycomp.target import Board, load_boards

BOARDS = load_boards()
EMULATED = [board for board in BOARDS.values() if board.emulated]
every_core = pytest.mark.parametrize("board", EMULATED, ids=[board.id for board in EMULATED])


def needs_tools(board: Board) -> None:
    """Skip where the compiler or the emulator is missing."""
    emulated = twin(board)
    assert emulated.emulator
    for tool in (emulated.core.compiler, emulated.emulator.program):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def folder_of(graph: Graph, board: Board, folder: Path, recipe: Recipe | None = None) -> Mapping[str, Any]:
    """Write the graph's project for the board; returns what the harness reads of its manifest."""
    program = lower(graph, recipe or Recipe(), board.core.features)
    inputs, outputs = (tuple(graph.tensors[t].dtype for t in names) for names in (graph.inputs, graph.outputs))
    made = Project("net", board, board.framework(), "0.1.0", SHA256, "", inputs, outputs, program.pushed)
    files = {f"lib/net/src/{name}": text for name, text in library(program, Identity("net", SHA256)).items()}
    write({**project_files(made), **files}, folder)
    return {"name": "net", "options": {"board": board.id}}


def quiet() -> dict[str, str]:
    """PlatformIO's environment, in which every connection fails at once."""
    nowhere = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), nowhere)
    return {**quiet_environment(), **proxies, "PATH": os.environ["PATH"]}
