"""Several models in one firmware: what each takes, and what they take together. Sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tinycomp
from tinycomp.report import text
from tinycomp.report.text import Section, number


def collect(reports: Sequence[Mapping[str, Any]], shared: Sequence[str]) -> dict[str, Any]:
    """report.json of the firmware: `models`, each with its own report, and the totals.

    reports: of each model, built for one board and budget. shared: the names of the models that take turns in one
    arena, in that order, which is as large as the largest of theirs.
    """
    arenas = [r["arena_bytes"] for r in reports if r["model"]["name"] in shared]
    saved = sum(arenas) - max(arenas, default=0)
    flash, ram = sum(r["flash_bytes"] for r in reports), sum(r["ram_bytes"] for r in reports) - saved
    budget = reports[0]["budget"]
    fits = flash <= budget["flash"] and ram <= budget["ram"] and all(r["budget"]["fits"] for r in reports)
    return {
        "tool_version": tinycomp.__version__,
        "board": reports[0]["board"],
        "budget": {**budget, "fits": fits},
        "flash_bytes": flash,
        "ram_bytes": ram,
        "shared_arena": {"bytes": max(arenas, default=0), "saved_bytes": saved, "models": list(shared)},
        "models": [dict(r) for r in reports],
    }  # fmt: skip


def verdict(facts: Mapping[str, Any]) -> str | None:
    """None where all of them fit together; otherwise which memory is too small, and what each model takes of it."""
    board, budget, shared = facts["board"]["id"], facts["budget"], facts["shared_arena"]
    for what, key, limit in (("flash", "flash_bytes", budget["flash"]), ("RAM", "ram_bytes", budget["ram"])):
        if facts[key] > limit:
            parts = " and ".join(f"{r['model']['name']} ({r[key]:,})" for r in facts["models"])
            once = f", of which {shared['saved_bytes']:,} are shared" if key == "ram_bytes" and shared["models"] else ""
            return (f"{parts} need {facts[key]:,} bytes of {what} together{once}, and {board} has {limit:,}, "
                    f"{facts[key] - limit:,} too few")  # fmt: skip
    return None


def headline(facts: Mapping[str, Any]) -> str:
    """The answer in one line."""
    board, budget = facts["board"], facts["budget"]
    names = ", ".join(r["model"]["name"] for r in facts["models"])
    return (f"{names} {'fit' if budget['fits'] else 'do NOT fit'} {board['id']} together: "
            f"flash {number(facts['flash_bytes'])} of {number(budget['flash'])}, "
            f"RAM {number(facts['ram_bytes'])} of {number(budget['ram'])} bytes")  # fmt: skip


def sections(facts: Mapping[str, Any]) -> list[Section]:
    """The table of the models, their sum last."""
    shared = facts["shared_arena"]
    rows = [(r["model"]["name"], number(r["flash_bytes"]), number(r["ram_bytes"]), number(r["arena_bytes"]),
             "shared" if r["model"]["name"] in shared["models"] else "its own", number(r["latency_ms"]))
            for r in facts["models"]]  # fmt: skip
    rows.append(("together", number(facts["flash_bytes"]), number(facts["ram_bytes"]), "", "", ""))
    notes = (f"{', '.join(shared['models'])} take turns in one arena of {number(shared['bytes'])} bytes, which saves "
             f"{number(shared['saved_bytes'])}",) if shared["models"] else ()  # fmt: skip
    return [Section("Models (bytes)", ("", "flash", "RAM", "arena", "which is", "ms"), "<>>><>", tuple(rows), notes)]


def render(facts: Mapping[str, Any]) -> str:
    """The whole report as plain text: the firmware, then each model."""
    parts = [headline(facts), *(text.plain(s) for s in sections(facts))]
    return "\n\n".join([*parts, *(text.render(r) for r in facts["models"])])
