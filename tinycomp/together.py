"""Several models in one firmware: libraries side by side, one application, one arena for those that can share it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from tinycomp import build as builder
from tinycomp.build import Build
from tinycomp.emit import project as emit_project
from tinycomp.errors import BadInput, DoesNotFit
from tinycomp.report import encode
from tinycomp.report import together as report


@dataclass(frozen=True)
class Firmware:
    """Builds for one board, budget and framework. Raises BadInput where their C names clash."""

    builds: tuple[Build, ...]

    def __post_init__(self) -> None:
        """Refuse what would not link."""
        for a, b in combinations(self.builds, 2):
            clash = _names(a) & _names(b)
            if clash:
                raise BadInput(f"{a.model.path} and {b.model.path} would both define {min(clash)} (the C prefixes are "
                               f"{a.name} and {b.name})", where="--name",
                               fix="give --name once for each model, in their order")  # fmt: skip

    @property
    def shared(self) -> tuple[str, ...]:
        """The models that take turns in one arena: those that keep nothing there between calls, if there are two.

        A model with states or a learning head does, and so does one whose rows are pushed.
        """
        found = tuple(b.name for b in self.builds if not (b.program.layout.states or b.program.pushed))
        return found if len(found) > 1 else ()

    @property
    def facts(self) -> dict[str, Any]:
        """report.json."""
        return report.collect([b.report for b in self.builds], self.shared)


def require_fit(firmware: Firmware) -> None:
    """Raise DoesNotFit where one of the models does not fit alone, or all do not fit together."""
    for build in firmware.builds:
        try:
            builder.require_fit(build)
        except DoesNotFit as reason:
            raise DoesNotFit(str(reason), where=build.name) from None
    problem = report.verdict(firmware.facts)
    if problem is not None:
        raise DoesNotFit(problem, fix="try --opt size, take a larger board or smaller models; --force writes the "
                                      "build anyway")  # fmt: skip


def files(firmware: Firmware) -> dict[str, str | bytes]:
    """Everything that a build of several models writes, by relative path. Equal inputs give equal bytes."""
    projects = [builder.project_of(b) for b in firmware.builds]
    made: dict[str, str | bytes] = {**emit_project.firmware_files(projects, firmware.shared)}
    for build in firmware.builds:
        made |= builder.library_files(build)
        made[_copy(build)] = build.model.data
    facts = firmware.facts
    made["report.json"] = encode.dumps(facts)
    made["report.txt"] = report.render(facts)
    return made


def write(firmware: Firmware, out: Path, force: bool = False) -> list[str]:
    """Write the firmware to `out` as `build.write` does one model's; returns the user's own files that were kept."""
    each = [{**builder.described(b), "copy": _copy(b)} for b in firmware.builds]
    return builder.write_folder(files(firmware), {"options": each[0]["options"], "models": each}, out, force)


def _copy(build: Build) -> str:
    return f"models/{build.name}.tflite"


def _names(build: Build) -> set[str]:
    """Every identifier of the library that begins with its prefix, in either case."""
    pattern = rf"\b(?:{build.name}|{build.name.upper()})_\w+"
    return {name for text in build.sources.values() for name in re.findall(pattern, text)}
