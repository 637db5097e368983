"""`tinycomp doctor`: what is installed, and how to get the rest."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def doctor(as_json: bool) -> None:
    """Which compilers, emulators, packages and serial ports are here, and how to get the others.

    `build` itself needs none of them; what is missing only limits the commands that the table names.
    """
    from tinycomp import terminal
    from tinycomp.harness.doctor import checks
    from tinycomp.report.text import Section

    with terminal.status("looking for tools", quiet=as_json):
        found = checks()
    here = tuple((c.name, c.found or "", c.needed_for) for c in found if c.found)
    missing = tuple((c.name, c.needed_for) for c in found if not c.found)
    fixes = tuple(f"{c.name}: {c.fix}" for c in found if not c.found)
    sections = [
        Section("Installed", ("tool", "where", "used by"), "<<<", here),
        Section("Missing", ("tool", "limits"), "<<", missing, fixes),
    ]
    title = f"{len(here)} of {len(found)} tools are here; `build` needs none of them"
    terminal.tell([vars(c) for c in found], title, sections, as_json)
