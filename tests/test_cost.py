"""Predicted cycles: near the emulator's count for shapes that were not fitted, None for what was not fitted at all."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import SHARED, needs_shared
from tests.test_build import build, model, tool
from tinycomp import cost, cost_features, cost_unfitted, frontend, ops
from tinycomp.lower import lower
from tinycomp.program import Program, Recipe
from tinycomp.target import load_core, load_cores

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import cost_grid  # noqa: E402
import fit_costs  # noqa: E402

__all__ = ["model"]  # the fixture
M4 = load_core("cortex-m4")
HELD_OUT, SHAPES = 7, 16
LIMIT = 0.15
# Rows of which every shape is predicted well, on the cores that the project is judged by.
FITTED = [
    (core, op, kernel)
    for core in ("cortex-m4", "cortex-m7", "cortex-m0plus")
    for op, kernel in (("conv2d", "pointwise_dsp"), ("conv2d", "portable"), ("fully_connected", "portable"),
                       ("add", "portable"), ("relu", "lut"), ("softmax", "portable"))
    if ops.OPERATORS[op].kernels and {k.name: k for k in ops.OPERATORS[op].kernels}[kernel].requires
    <= load_core(core).features
]  # fmt: skip


def one_step(op: str = "relu", kernel: str = "lut") -> Program:
    """A program of one node, for Cortex-M4."""
    (graph,) = cost_grid.grid(op, kernel, M4.features, 1)
    return lower(graph, Recipe("speed", "off", pinned={"n0": kernel}), M4.features)


@pytest.mark.slow
@pytest.mark.parametrize(("core_id", "op", "kernel"), FITTED)
def test_shapes_that_were_not_fitted_are_predicted(core_id: str, op: str, kernel: str):
    pytest.importorskip("unicorn", reason="pip install 'tinycomp[emulate]'")
    core = load_core(core_id)
    found = fit_costs.measure(op, kernel, core, SHAPES, seed=HELD_OUT)
    rows = cost.fitted()[core_id]
    off = [
        sum(v * s.features.get(n, 0.0) for n, v in rows[s.key].terms.items()) / s.cycles - 1
        for s in found if s.key in rows and cost.known_form(s.tags, rows[s.key])
    ]  # fmt: skip
    assert len(off) >= SHAPES // 2
    assert np.median(np.abs(off)) < LIMIT / 2
    assert np.quantile(np.abs(off), 0.8) < LIMIT, off


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["kws_int8", "ic_int8", "vww_int8", "ad_int8"])
@pytest.mark.parametrize("core_id", ["cortex-m4", "cortex-m33", "cortex-m7", "cortex-m0plus"])
def test_the_reference_models_are_predicted_in_all_and_layer_by_layer(core_id: str, name: str):
    pytest.importorskip("unicorn", reason="pip install 'tinycomp[emulate]'")
    core, graph = load_core(core_id), frontend.front(frontend.load(SHARED / "models" / f"{name}.tflite")).graph
    made = lower(graph, Recipe("speed", "off"), core.features)
    counted, predicted = fit_costs.count_steps(made, core, cost_grid.inputs_of(graph)), cost.program(made, core)
    assert predicted.cycles == pytest.approx(sum(counted), rel=LIMIT)
    for step, n, p in zip(made.steps, counted, predicted.per_step, strict=True):
        if n >= sum(counted) / 100:
            assert p == pytest.approx(n, rel=LIMIT), f"{step.node.name} ({step.function.kernel}): {n} counted, {p}"


def test_a_core_without_figures_has_no_prediction():
    program = one_step()
    assert cost.cycles(program.steps[0], program, load_core("xtensa-lx6")) is None
    assert cost.program(program, load_core("rv32imc")).cycles is None


def test_a_kernel_or_a_form_of_it_that_was_not_fitted_has_no_prediction():
    program = one_step()
    step = program.steps[0]
    assert cost.cycles(step, program, M4) is not None
    other = replace(step, function=replace(step.function, kernel="unheard_of"))
    assert cost.cycles(other, program, M4) is None
    form = {**step.function.params, "style": "unheard of"}
    assert cost.cycles(replace(step, function=replace(step.function, params=form)), program, M4) is None


def test_one_step_that_is_not_known_makes_the_whole_unknown():
    program = one_step()
    strange = replace(program.steps[0], function=replace(program.steps[0].function, kernel="unheard_of"))
    found = cost.program(replace(program, steps=(*program.steps, strange)), M4)
    assert found.cycles is None
    assert found.per_step[0] is not None
    assert found.per_step[1] is None
    assert found.milliseconds(1_000_000) is None


def test_time_and_energy_follow_from_cycles():
    found = cost.Cost(2e6, (2e6,))
    assert found.milliseconds(100_000_000) == pytest.approx(20)
    assert found.microjoules(278) == pytest.approx(556)
    assert found.microjoules(None) is None


def test_every_row_that_a_core_can_run_is_fitted_or_has_a_reason():
    missing = [
        f"{core.id} {op}/{k.name}"
        for core in (known for name, known in load_cores().items() if name in fit_costs.CORES)
        for op, operator in ops.OPERATORS.items()
        for k in operator.kernels
        if k.requires <= core.features and cost_unfitted.reason(op, k.name, core) is None
        and not {f"{op}/{k.name}", f"{op}/{k.name}/shared"} & cost.fitted().get(core.id, {}).keys()
    ]  # fmt: skip
    assert not missing, f"run benchmarks/fit_costs.py: {missing}"


def test_the_table_is_sorted_and_its_coefficients_are_not_negative():
    stored = json.loads(cost.TABLE.read_text())["cores"]
    assert list(stored) == sorted(stored)
    for rows in stored.values():
        assert list(rows) == sorted(rows)
        assert all(value > 0 for r in rows.values() for value in r["terms"].values())


def test_writing_the_table_twice_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cost, "TABLE", tmp_path / "costs.json")
    sample = {"seen": {}, "terms": {"step": 3.0}, "samples": 12, "worst": 0.0}
    fit_costs.merge({"b": {"y": sample, "x": sample}}, keep=False)
    fit_costs.merge({"a": {"z": sample}}, keep=True)
    first = (tmp_path / "costs.json").read_bytes()
    fit_costs.merge({"a": {"z": sample}, "b": {"x": sample, "y": sample}}, keep=False)
    assert (tmp_path / "costs.json").read_bytes() == first


def test_fitting_finds_coefficients_that_are_not_negative():
    rng = np.random.default_rng(0)
    a, wanted = rng.uniform(0, 1, (40, 5)), np.array([2.0, 0.0, 1.0, 0.0, 4.0])
    assert fit_costs.nonnegative(a, a @ wanted) == pytest.approx(wanted, abs=1e-8)
    assert (fit_costs.nonnegative(a, a @ np.array([1.0, -2.0, 1.0, 0.5, 1.0])) >= 0).all()


@pytest.mark.parametrize(
    ("op", "kernel"), [("conv2d", "portable"), ("depthwise_conv2d", "columns"), ("mean", "reduce")]
)
def test_sizes_are_finite_and_grow_from_zero(op: str, kernel: str):
    program = one_step(op, kernel)
    sizes = cost_features.features(program.steps[0], program.graph)
    assert sizes["step"] == 1
    assert all(np.isfinite(value) and value > 0 for value in sizes.values())


def test_the_report_has_cycles_time_and_energy(model, tmp_path):
    done = tool("build", model, "--board", "nucleo_l4r5zi", "-o", tmp_path / "out", "--json")
    report = json.loads(done.stdout)
    cycles = report["cycles"]["value"]
    assert report["cycles"]["how"] == cost.HOW
    assert cycles == pytest.approx(sum(layer["cycles"] for layer in report["layers"]), abs=len(report["layers"]))
    assert report["latency_ms"] == pytest.approx(1e3 * cycles / report["board"]["clock_hz"], rel=1e-3)
    assert report["energy_uj"] == pytest.approx(278e-6 * cycles, rel=1e-3)
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "Time of one inference (modelled)" in text
    assert "without wait states" in text


def test_a_board_whose_core_is_not_modelled_has_null_figures(model, tmp_path):
    report = json.loads(tool("build", model, "--board", "esp32", "-o", tmp_path / "out", "--json").stdout)
    assert report["cycles"] == {"value": None, "how": None}
    assert report["latency_ms"] is None
    assert report["energy_uj"] is None
    assert {layer["cycles"] for layer in report["layers"]} == {None}


def test_a_time_budget_that_is_kept_builds(model, tmp_path):
    assert build(model, tmp_path / "out", "--max-ms", 1000).exit_code == 0


def test_a_time_budget_that_is_missed_names_the_slowest_layers(model, tmp_path):
    done = build(model, tmp_path / "out", "--max-ms", 0.00001)
    assert done.exit_code == 3
    assert "slowest layers" in done.stderr
    assert "conv2d_0" in done.stderr
    assert "modelled" in done.stderr
    assert not (tmp_path / "out").exists()


def test_force_writes_a_build_that_is_too_slow_and_the_report_says_so(model, tmp_path):
    assert build(model, tmp_path / "out", "--max-ms", 0.00001, "--force").exit_code == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["budget"]["fits"] is False


def test_a_time_budget_for_a_core_that_is_not_modelled_is_refused(model, tmp_path):
    done = tool("build", model, "--board", "esp32", "-o", tmp_path / "out", "--max-ms", 5)
    assert done.exit_code == 2
    assert "no cycle model of Xtensa LX6" in done.stderr
    assert not (tmp_path / "out").exists()
