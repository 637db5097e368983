"""Fits the work of every kernel row on every core that is counted here, and writes boards/costs.json.

    python benchmarks/fit_costs.py [--stale] [--core CORE]... [--kernel OP[/ROW]]... [--check] [--cache DIR] [--jobs N]

Each row runs with some dozens of random shapes in one firmware; relative least squares with coefficients that are not
negative. --stale: only rows whose C or features have changed since they were fitted, or that are new. --check writes
nothing and compares with shapes that were not fitted. --cache keeps counts, so that features can be tried quickly.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cost_grid
import counts
import fitting
import numpy as np

from tinycomp import cost, ops
from tinycomp.cores import Core, load_cores
from tinycomp.cost import rows, unfitted
from tinycomp.emit.library import kernels
from tinycomp.kernel import Kernel
from tinycomp.lower import lower
from tinycomp.program import Opt, Program, Recipe, Step

CORES = ("cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m33", "cortex-m7", "cortex-m55", "rv32imc",
         "xtensa-lx106")  # fmt: skip
HEAVY = frozenset({"conv2d", "depthwise_conv2d", "fully_connected"})
CHECKED, PRINTED, LEAST = 12, 3, 12


def samples(op: str, kernel: str, opt: Opt) -> int:
    """Shapes to fit a row to: as many as its code has forms."""
    heavy = op in HEAVY and "float" not in kernel
    return {("speed", True): 160, ("size", True): 128, ("speed", False): 96, ("size", False): 64}[opt, heavy]


def pinned(op: str, kernel: str, features: frozenset[str], count: int, seed: int, opt: Opt) -> Program | None:
    """A program of nodes of random shapes that the row computes; None where no shape reaches it."""
    graphs = cost_grid.grid(op, kernel, features, count, seed)
    if not graphs:
        return None
    graph = cost_grid.merged(graphs)
    recipe = Recipe(opt=opt, stream="off", pinned={node.name: kernel for node in graph.nodes})
    return lower(graph, recipe, features)


def measure(op: str, kernel: str, core: Core, count: int, seed: int = 0, opt: Opt = "speed",
            cache: Path | None = None) -> list[fitting.Sample]:  # fmt: skip
    """Count a row's work for random shapes; [] where no shape reaches it. Raises ToolMissing."""
    made = pinned(op, kernel, core.features, count, seed, opt)
    if made is None or (opt == "size" and not any(rows.key(s).endswith("/shared") for s in made.steps)):
        return []  # the code is that of --opt speed
    counted = counts.steps(made, core, cost_grid.inputs_of(made.graph, seed), cache)
    return [
        fitting.sample(s, made.graph, n.work, n.code)
        for s, n in zip(made.steps, counted, strict=True)
        if not constant(s)
    ]


def constant(step: Step) -> bool:
    """A random scale under which the clamp leaves a single value: the compiler computes nothing."""
    low, high = (step.leaf.numbers.get(name) for name in ("low", "high"))
    return low is not None and low == high


def fingerprint(op: str, kernel: Kernel) -> str | None:
    """Of what a row's figures depend on: its C for a few shapes, and their features. None: no shape reaches it."""
    made = pinned(op, kernel.name, kernel.requires, PRINTED, 0, "speed")
    if made is None:
        return None
    found = [{n: f"{v:.6g}" for n, v in sorted(rows.features(s, made.graph).items())} for s in made.steps]
    facts = [kernels(made), found, [rows.code_sizes(s, made.graph) for s in made.steps]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def fingerprints() -> dict[str, str]:
    """Of every row that random shapes are made for."""
    return {
        f"{op}/{k.name}": found
        for op, operator in sorted(ops.OPERATORS.items())
        if op in cost_grid.MAKERS
        for k in operator.kernels
        if f"{op}/{k.name}" not in unfitted.ROWS and (found := fingerprint(op, k)) is not None
    }


def stale() -> list[str]:
    """Rows that were fitted to other C, or with other features, or not at all, though some core has figures of them."""
    known = cost.stored()["fingerprints"]
    return [row for row, found in fingerprints().items() if known.get(row) != found]


@dataclass(frozen=True)
class Task:
    """A row on a core, to fit or, with the table's figures, to check."""

    op: str
    kernel: str
    core: Core
    check: bool
    cache: Path | None

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.core.id} {self.op}/{self.kernel}"


def work(task: Task) -> tuple[dict[str, Any], str]:
    """({key: row}, a line to print)."""
    found: dict[str, list[fitting.Sample]] = {}
    both: tuple[Opt, ...] = ("speed", "size")
    for opt in both:
        count = CHECKED if task.check else samples(task.op, task.kernel, opt)
        new: dict[str, list[fitting.Sample]] = {}
        for s in measure(task.op, task.kernel, task.core, count, int(task.check), opt, task.cache):
            new.setdefault(s.key, []).append(s)
        found = {**new, **found}  # a form that both builds reach is fitted to the first
    if task.check:
        return {}, f"{task.label:48} {_errors(task.core, [s for group in found.values() for s in group])}"
    # A few samples do not settle as many coefficients as there are sizes.
    made = {key: fitting.fit(group) for key, group in found.items() if len(group) >= LEAST}
    said = ", ".join(f"{key}: off {r['off'][0]:.1%} {r['off'][1]:.1%} {r['off'][2]:.1%}" for key, r in made.items())
    return made, f"{task.label:48} {said or 'nothing new'}"


def _errors(core: Core, found: Sequence[fitting.Sample]) -> str:
    table = cost.fitted().get(core.id, {})
    off = [e for s in found if s.key in table for e in fitting.errors([s], table[s.key])]
    return f"{len(off)} shapes, mean {np.mean(off):.1%}, worst {max(off):.1%}" if off else "not fitted"


def tasks(cores: Sequence[str], asked: Sequence[str], check: bool, cache: Path | None) -> Iterator[Task]:
    """Every row that is asked for and can be fitted, on every core that is asked for."""
    known = load_cores()
    for core in (known[name] for name in cores):
        for op, operator in sorted(ops.OPERATORS.items()):
            for k in operator.kernels:
                wanted = op in cost_grid.MAKERS and (not asked or f"{op}/{k.name}" in asked or op in asked)
                if wanted and k.requires <= core.features and unfitted.reason(op, k.name, core) is None:
                    yield Task(op, k.name, core, check, cache)


def write(new: Mapping[str, Mapping[str, Any]], prints: Mapping[str, str], keep: bool, path: Path) -> None:
    """Write the table; keep: rows that were not fitted again stay."""
    before: dict[str, Any] = json.loads(path.read_text()) if keep and path.is_file() else {}
    table: dict[str, dict[str, Any]] = dict(before.get("cores", {}))
    for core, found in new.items():
        table[core] = {**table.get(core, {}), **found}
    known = dict(sorted({**before.get("fingerprints", {}), **prints}.items()))
    lines = [
        f' "{core}": {{\n'
        + ",\n".join(f'  "{k}": {json.dumps(table[core][k], sort_keys=True, ensure_ascii=False)}'
                     for k in sorted(table[core]))
        + "\n }"
        for core in sorted(table)
    ]  # fmt: skip
    head = json.dumps(known, indent=1, ensure_ascii=False)
    path.write_text(f'{{"fingerprints": {head},\n"cores": {{\n' + ",\n".join(lines) + "\n}}\n")


def main() -> None:
    """Fit or check, and say how well."""
    parser = argparse.ArgumentParser(description="fit the cost table")
    parser.add_argument("--core", action="append", choices=CORES)
    parser.add_argument("--kernel", action="append", default=[], metavar="OP[/ROW]")
    parser.add_argument("--stale", action="store_true", help="rows that have changed since they were fitted")
    parser.add_argument("--check", action="store_true", help="write nothing, compare with shapes that were not fitted")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep counts there")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    asked: list[str] = args.kernel + (stale() if args.stale else [])
    todo = [] if args.stale and not asked else list(tasks(args.core or CORES, asked, args.check, args.cache))
    if not todo:
        sys.exit(0 if args.stale else "no kernel row of that name can be fitted on these cores")
    new: dict[str, dict[str, Any]] = {}
    failed: list[str] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for task, running in [(task, pool.submit(work, task)) for task in todo]:
            try:
                found, line = running.result()
            except Exception as error:  # one row that does not build must not cost the figures of the others
                failed.append(task.label)
                found, line = {}, f"{task.label:48} FAILED: {error!r:.300}"
            new.setdefault(task.core.id, {}).update(found)
            print(line, flush=True)
    if not args.check:
        fresh = {row: p for row, p in fingerprints().items() if any(f"{t.op}/{t.kernel}" == row for t in todo)}
        write(new, fresh, keep=bool(args.core or asked or failed), path=cost.path())
    if failed:
        sys.exit(f"{len(failed)} rows failed and keep their figures: {', '.join(failed)}")


if __name__ == "__main__":
    main()
