"""Fits the cycles of every kernel row on every core that is counted here, and writes tinycomp/costs.json.

    python benchmarks/fit_costs.py [--core CORE]... [--kernel OP/ROW]... [--check] [--jobs N]

Each row runs with some dozens of random shapes in one firmware; relative least squares with coefficients that are not
negative. Rows that are not named keep their figures. --check writes nothing and compares with other shapes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cost_grid
import numpy as np

from tinycomp import cost, cost_features, ops
from tinycomp.cost_unfitted import reason
from tinycomp.emit.library import Identity, library
from tinycomp.harness.counting import arm, firmware, profile, program
from tinycomp.lower import lower
from tinycomp.program import Opt, Program, Recipe
from tinycomp.target import Core, load_cores

CORES = ("cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m33", "cortex-m7")
HEAVY = frozenset({"conv2d", "depthwise_conv2d", "fully_connected"})
SAMPLES, HEAVY_SAMPLES, CHECKED = 48, 120, 12


@dataclass(frozen=True)
class Sample:
    """A step that was counted: its row of the table, its form, its sizes, its cycles."""

    key: str
    tags: Mapping[str, str]
    features: Mapping[str, float]
    cycles: int


def measure(op: str, kernel: str, core: Core, count: int, seed: int = 0, opt: Opt = "speed") -> list[Sample]:
    """Count a row's cycles for random shapes; [] where no shape reaches it. Raises ToolMissing."""
    graphs = cost_grid.grid(op, kernel, core.features, count, seed)
    if not graphs:
        return []
    graph = cost_grid.merged(graphs)
    recipe = Recipe(opt=opt, stream="off", pinned={node.name: kernel for node in graph.nodes})
    made = lower(graph, recipe, core.features)
    if opt == "size" and not any(cost_features.key(s).endswith("/shared") for s in made.steps):
        return []  # the code is that of --opt speed
    counts = count_steps(made, core, cost_grid.inputs_of(graph, seed))
    steps = zip(made.steps, counts, strict=True)
    return [Sample(cost_features.key(s), cost_features.tags(s), cost_features.features(s, graph), n) for s, n in steps]


def count_steps(made: Program, core: Core, case: Sequence[cost_grid.Array]) -> list[int]:
    """Cycles of each step of a program, counted in the emulator."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "src", Path(folder) / "out"
        source.mkdir()
        out.mkdir()
        for file, text in library(made, Identity("net", "0" * 64)).items():
            (source / file).write_text(text)
        job = firmware.Job(source, "net", made.graph, len(made.steps), case, core.optimise, made.pushed)
        elf = program.read(firmware.build(job, core, profile.UNICORN_MEMORY, out, clean=False).layered)
        windows = arm.count(elf, core, job.layers).windows
    return [w.cycles or 0 for w in windows[: job.layers]]


def fit(samples: Sequence[Sample]) -> dict[str, Any]:
    """Coefficients by name, the forms that were seen, and how far the fit is from what it was made of."""
    names = sorted({name for s in samples for name in s.features})
    wanted = np.array([s.cycles for s in samples], float)
    sizes = np.array([[s.features.get(name, 0.0) for name in names] for s in samples]) / wanted[:, None]
    scale = sizes.max(axis=0)
    x = nonnegative(sizes / scale, np.ones(len(samples))) / scale
    terms = {name: float(f"{value:.4g}") for name, value in zip(names, x, strict=True) if value > 0}
    worst = np.abs(sizes @ x - 1).max()
    seen = {tag: "|".join(sorted({s.tags[tag] for s in samples})) for tag in sorted(samples[0].tags)}
    return {"terms": terms, "seen": seen, "samples": len(samples), "worst": round(float(worst), 3)}


def nonnegative(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """x ≥ 0 that minimises |a x − b| (Lawson and Hanson's active set, Solving Least Squares Problems, ch. 23)."""
    n, x = a.shape[1], np.zeros(a.shape[1])
    active = np.zeros(n, bool)
    for _ in range(3 * n):
        gradient = np.where(active, -np.inf, a.T @ (b - a @ x))
        best = int(gradient.argmax())
        if gradient[best] < 1e-7:
            break
        active[best] = True
        while True:
            trial = np.zeros(n)
            trial[active] = np.linalg.lstsq(a[:, active], b, rcond=None)[0]
            negative = active & (trial <= 0)
            if not negative.any():
                break
            step = (x[negative] / np.maximum(x[negative] - trial[negative], 1e-300)).min()
            x = x + step * (trial - x)
            active &= x > 1e-12
            x[~active] = 0
        x = trial
    return x


@dataclass(frozen=True)
class Task:
    """A row on a core, to fit or, with the table's figures, to check."""

    op: str
    kernel: str
    core: Core
    opt: Opt
    check: bool

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.core.id} {self.op}/{self.kernel} {self.opt}"


def work(task: Task) -> tuple[dict[str, Any], str]:
    """({key: row}, a line to print)."""
    start = time.perf_counter()
    count = CHECKED if task.check else HEAVY_SAMPLES if task.op in HEAVY else SAMPLES
    found = measure(task.op, task.kernel, task.core, count, seed=1 if task.check else 0, opt=task.opt)
    groups: dict[str, list[Sample]] = {}
    for s in found:
        groups.setdefault(s.key, []).append(s)
    if task.check:
        return {}, f"{task.label:50} {_errors(task.core, found)}"
    # A few samples do not settle as many coefficients as there are sizes.
    rows = {key: fit(group) for key, group in groups.items() if len(group) >= 12}
    said = ", ".join(f"{key}: {len(row['terms'])} terms, worst {row['worst']:.1%}" for key, row in rows.items())
    return rows, f"{task.label:50} {len(found)} shapes, {time.perf_counter() - start:.0f} s: {said or 'nothing new'}"


def _errors(core: Core, samples: Sequence[Sample]) -> str:
    rows = cost.fitted().get(core.id, {})
    off = [abs(sum(v * s.features.get(n, 0.0) for n, v in rows[s.key].terms.items()) / s.cycles - 1)
           for s in samples if s.key in rows and cost.known_form(s.tags, rows[s.key])]  # fmt: skip
    return f"{len(off)} shapes, mean {np.mean(off):.1%}, worst {max(off):.1%}" if off else "not fitted"


def tasks(cores: Sequence[str], kernels: Sequence[str], check: bool) -> Iterator[Task]:
    """Every row that is asked for and can be fitted, on every core that is asked for."""
    known = load_cores()
    for core in (known[name] for name in cores):
        for op, operator in sorted(ops.OPERATORS.items()):
            for k in operator.kernels:
                asked = not kernels or f"{op}/{k.name}" in kernels or op in kernels
                if asked and k.requires <= core.features and reason(op, k.name, core) is None:
                    yield Task(op, k.name, core, "speed", check)
                    yield Task(op, k.name, core, "size", check)


def merge(new: Mapping[str, Mapping[str, Any]], keep: bool) -> None:
    """Write the table; keep: rows that were not fitted again stay."""
    stored = json.loads(cost.TABLE.read_text())["cores"] if keep and cost.TABLE.is_file() else {}
    for core, rows in new.items():
        stored[core] = {**stored.get(core, {}), **rows}
    lines = [
        f' "{core}": {{\n'
        + ",\n".join(f'  "{k}": {json.dumps(stored[core][k], sort_keys=True, ensure_ascii=False)}'
                     for k in sorted(stored[core]))
        + "\n }"
        for core in sorted(stored)
    ]  # fmt: skip
    cost.TABLE.write_text('{"cores": {\n' + ",\n".join(lines) + "\n}}\n")


def main() -> None:
    """Fit or check, and say how well."""
    parser = argparse.ArgumentParser(description="fit the cost table")
    parser.add_argument("--core", action="append", choices=CORES)
    parser.add_argument("--kernel", action="append", default=[], metavar="OP[/ROW]")
    parser.add_argument("--check", action="store_true", help="write nothing, compare with shapes that were not fitted")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    todo = list(tasks(args.core or CORES, args.kernel, args.check))
    if not todo:
        sys.exit("no kernel row of that name can be fitted on these cores")
    new: dict[str, dict[str, Any]] = {}
    failed: list[str] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for task, running in [(task, pool.submit(work, task)) for task in todo]:
            try:
                rows, line = running.result()
            except Exception as error:  # one row that does not build must not cost the figures of the others
                failed.append(task.label)
                rows, line = {}, f"{task.label:50} FAILED: {error!r:.300}"
            # A row that both builds reach in the same form keeps the figures of the first.
            known = new.setdefault(task.core.id, {})
            known.update({k: r for k, r in rows.items() if k not in known})
            print(line, flush=True)
    if not args.check:
        merge(new, keep=bool(args.core or args.kernel or failed))
    if failed:
        sys.exit(f"{len(failed)} rows failed and keep their figures: {', '.join(failed)}")


if __name__ == "__main__":
    main()
