"""Pages made from what the program itself knows: commands, boards, operators. MkDocs calls `on_files`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from tinycomp.cli import main
from tinycomp.report import tables
from tinycomp.target import load_boards


def commands() -> str:
    """Every command with its arguments and options, from click."""
    parts = [
        "# Commands",
        "Every command ends with one of the exit statuses 0 (done), 1 (outputs differ), 2 (bad usage or input), 3 "
        "(does not fit), 4 (tool missing). Colour is left out where `NO_COLOR` is set or output is no terminal.",
    ]
    for name, command in sorted(main.commands.items()):
        context = click.Context(command, info_name=f"tinycomp {name}")
        usage = " ".join(command.collect_usage_pieces(context))
        parts += [f"## {name}", (command.help or "").replace("\b", ""), f"```\ntinycomp {name} {usage}\n```"]
        options = [p.get_help_record(context) for p in command.params if isinstance(p, click.Option)]
        rows = [(f"`{names}`", text) for names, text in filter(None, options)]
        parts += [_table(("option", ""), rows)] if rows else []
    parts.append(
        "## Shell completion\n\nClick completes commands and options. For bash, in `~/.bashrc`:\n\n"
        '```\neval "$(_TINYCOMP_COMPLETE=bash_source tinycomp)"\n```\n\n'
        "For zsh `zsh_source`, for fish `_TINYCOMP_COMPLETE=fish_source tinycomp | source`."
    )
    return "\n\n".join(parts) + "\n"


def boards() -> str:
    """The boards with usable memory, and the notes of each."""
    every = load_boards()
    known = [tables.board_facts(board) for board in every.values()]
    rows = [
        (f"[{b['id']}](#{b['id']})", b["core"], f"{b['clock_hz'] / 1e6:g}", *(
            "–" if r is None else f"{r['usable']:,}" for r in (_region(b, "flash"), _region(b, "sram"))
        ), ", ".join(b["frameworks"]), "yes" if b["emulator"] else "–")
        for b in known
    ]  # fmt: skip
    parts = [
        "# Boards",
        "Usable bytes: what a model may have once the framework has its share. `boards/*.toml` holds the data.",
        _table(("board", "core", "MHz", "flash", "RAM", "frameworks", "emulator"), rows),
    ]
    for b in known:
        regions = [(r["name"], f"{r['size']:,}", f"{r['usable']:,}", r["source"]) for r in b["regions"]]
        parts += [f"## {b['id']}", b["title"] + ".", _table(("region", "bytes", "usable", "source"), regions)]
        notes = (*b["notes"], f"Energy: {tables.energy_words(every[b['id']])}")
        parts += ["\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _region(board: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((r for r in board["regions"] if r["name"] == name), None)


def operators() -> str:
    """The operator table of `tinycomp ops`."""
    section = tables.operator_section()
    rows = [tuple(_escape(cell) for cell in row) for row in section.rows]
    text = "Kernels from the best to the one that any core can run; in brackets the core features that a kernel needs."
    return "\n\n".join(["# Operators", text, _table(section.headers, rows), *section.notes]) + "\n"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(_escape(cell) for cell in line)} |" for line in lines)


def _escape(cell: str) -> str:
    return cell.replace("\\|", "|").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/boards.md": boards,
    "reference/cli.md": commands,
    "reference/operators.md": operators,
}


def on_files(files: Any, config: Any) -> Any:
    """MkDocs hook: the generated pages stand beside the written ones."""
    from mkdocs.structure.files import File

    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files
