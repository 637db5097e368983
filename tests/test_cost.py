"""Predicted work: near the emulator's count for shapes that were not fitted, None for what was not fitted at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cost_grid
import counts
import fit_costs
import fitting
import numpy as np
import pytest

from tests.support import SHARED, needs_shared
from tests.test_build import build, model, tool
from tinycomp import cost, frontend, ops
from tinycomp.cores import load_core, load_cores
from tinycomp.cost import rows, unfitted
from tinycomp.lower import lower
from tinycomp.program import Program, Recipe
from tinycomp.target import Energy

__all__ = ["model"]  # the fixture
M4 = load_core("cortex-m4")
HELD_OUT, SHAPES = 7, 16
LIMIT = 0.15
REFIT = "run: python benchmarks/fit_costs.py --stale"


def one_step(op: str = "relu", kernel: str = "lut") -> Program:
    """A program of one node, for Cortex-M4."""
    (graph,) = cost_grid.grid(op, kernel, M4.features, 1)
    return lower(graph, Recipe("speed", "off", pinned={"n0": kernel}), M4.features)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("core_id", "op", "kernel"),
    [
        ("cortex-m4", "conv2d", "pointwise_dsp"),
        ("cortex-m4", "conv2d", "int4_dsp"),
        ("cortex-m4", "depthwise_conv2d", "dsp_strip"),
        ("cortex-m0plus", "conv2d", "swar"),
        ("cortex-m0plus", "relu", "lut"),
    ],
)
def test_shapes_that_were_not_fitted_are_predicted(core_id: str, op: str, kernel: str):
    pytest.importorskip("unicorn", reason="pip install 'tinycomp[emulate]'")
    found = fit_costs.measure(op, kernel, load_core(core_id), SHAPES, HELD_OUT)
    table = cost.fitted()[core_id]
    off = [e for s in found if s.key in table for e in fitting.errors([s], table[s.key])]
    assert len(off) >= SHAPES // 2
    assert np.median(off) < LIMIT / 2
    assert np.quantile(off, 0.9) < LIMIT, off


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("core_id", "name"),
    [
        ("cortex-m4", "kws_int8"),
        ("cortex-m4", "ic_int8"),
        ("cortex-m4", "ad_int8"),
        ("cortex-m33", "kws_int8"),
        ("cortex-m7", "kws_int8"),
        ("cortex-m0plus", "ad_int8"),
    ],
)
def test_the_reference_models_are_predicted_in_all_and_layer_by_layer(core_id: str, name: str):
    pytest.importorskip("unicorn", reason="pip install 'tinycomp[emulate]'")
    core, graph = load_core(core_id), frontend.front(frontend.load(SHARED / "models" / f"{name}.tflite")).graph
    made = lower(graph, Recipe("speed", "off"), core.features)
    counted = [c.work for c in counts.steps(made, core, cost_grid.inputs_of(graph))]
    predicted = cost.program(made, core)
    assert predicted.cycles == pytest.approx(sum(counted), rel=LIMIT)
    for step, n, p in zip(made.steps, counted, predicted.per_step, strict=True):
        if n >= sum(counted) / 100:
            assert p == pytest.approx(n, rel=LIMIT), f"{step.node.name} ({step.function.kernel}): {n} counted, {p}"


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("core_id", ["cortex-m4", "cortex-m7"])
def test_keyword_spotting_on_int4_weights_is_predicted(core_id: str):
    pytest.importorskip("unicorn", reason="pip install 'tinycomp[emulate]'")
    core, graph = load_core(core_id), frontend.front(frontend.load(SHARED / "models" / "kws_int8.tflite")).graph
    made = lower(cost_grid.in_int4(graph), Recipe("speed", "off"), core.features)
    counted = [c.work for c in counts.steps(made, core, cost_grid.inputs_of(graph))]
    assert {"int4_dsp", "int4_columns"} <= {s.function.kernel for s in made.steps}
    assert cost.program(made, core).cycles == pytest.approx(sum(counted), rel=LIMIT)


def test_a_core_without_figures_has_no_prediction():
    program = one_step()
    assert cost.work(program.steps[0], program.graph, load_core("xtensa-lx6")) is None
    assert cost.program(program, load_core("xtensa-lx6")).total is None


def test_a_kernel_or_a_form_of_it_that_was_not_fitted_has_no_prediction():
    program = one_step("softmax", "portable")
    step, graph = program.steps[0], program.graph
    assert cost.work(step, graph, M4) is not None
    other = replace(step, function=replace(step.function, kernel="unheard_of"))
    assert cost.work(other, graph, M4) is None
    form = {**step.function.params, "style": "unheard of"}
    assert cost.work(replace(step, function=replace(step.function, params=form)), graph, M4) is None
    harmless = {**step.function.params, "style": False}
    assert cost.work(replace(step, function=replace(step.function, params=harmless)), graph, M4) is not None


def test_one_step_that_is_not_known_makes_the_whole_unknown():
    program = one_step()
    strange = replace(program.steps[0], function=replace(program.steps[0].function, kernel="unheard_of"))
    found = cost.program(replace(program, steps=(*program.steps, strange)), M4)
    assert found.cycles is None
    assert found.per_step[0] is not None
    assert found.per_step[1] is None
    assert found.milliseconds(1_000_000) is None


def test_time_and_energy_follow_from_cycles_and_not_from_instructions():
    found = cost.Cost("cycles", 2e6, (2e6,))
    assert found.milliseconds(100_000_000) == pytest.approx(20)
    assert Energy(278, 275, 282, "somebody").microjoules(2e6) == pytest.approx((556, 550, 564))
    counted = cost.Cost("instructions", 2e6, (2e6,))
    assert (counted.instructions, counted.cycles, counted.milliseconds(1)) == (2e6, None, None)


def test_the_table_was_fitted_to_the_kernels_and_features_that_stand():
    assert not (found := fit_costs.stale()), f"{REFIT}  # {', '.join(found)}"


def test_every_row_that_a_fitted_core_can_run_is_fitted_or_has_a_reason():
    known = cost.stored()["fingerprints"]
    missing = [
        f"{core_id} {op}/{k.name}"
        for core_id, table in cost.fitted().items()
        for op in cost_grid.MAKERS
        for k in ops.OPERATORS[op].kernels
        if f"{op}/{k.name}" in known
        and k.requires <= load_core(core_id).features
        and unfitted.reason(op, k.name, load_core(core_id)) is None
        and not {f"{op}/{k.name}", f"{op}/{k.name}/shared"} & table.keys()
    ]
    assert not missing, f"{REFIT}  # {', '.join(missing)}"


def test_the_table_is_sorted_and_its_coefficients_are_not_negative():
    stored = cost.stored()["cores"]
    assert list(stored) == sorted(stored)
    assert stored.keys() <= load_cores().keys()
    for found in stored.values():
        assert list(found) == sorted(found)
        assert all(value > 0 for r in found.values() for value in (*r["terms"].values(), *r["code"].values()))


def test_writing_the_table_twice_gives_the_same_bytes(tmp_path: Path):
    path = tmp_path / "costs.json"
    sample: dict[str, Any] = {"seen": {}, "terms": {"step": 3.0}, "code": {}, "samples": 12, "off": [0.0, 0.0, 0.0]}
    fit_costs.write({"b": {"y": sample, "x": sample}}, {"y": "1"}, False, path)
    fit_costs.write({"a": {"z": sample}}, {"x": "2"}, True, path)
    first = path.read_bytes()
    fit_costs.write({"a": {"z": sample}, "b": {"x": sample, "y": sample}}, {"x": "2", "y": "1"}, False, path)
    assert path.read_bytes() == first


def test_fitting_finds_coefficients_that_are_not_negative():
    rng = np.random.default_rng(0)
    a, wanted = rng.uniform(0, 1, (40, 5)), np.array([2.0, 0.0, 1.0, 0.0, 4.0])
    assert fitting.nonnegative(a, a @ wanted) == pytest.approx(wanted, abs=2e-2)
    assert (fitting.nonnegative(a, a @ np.array([1.0, -2.0, 1.0, 0.5, 1.0])) >= 0).all()


def test_another_size_in_the_code_makes_a_fingerprint_another_one(monkeypatch: pytest.MonkeyPatch):
    (kernel,) = (k for k in ops.OPERATORS["relu"].kernels if k.name == "lut")
    before = fit_costs.fingerprint("relu", kernel)
    assert before == fit_costs.fingerprint("relu", kernel)
    monkeypatch.setattr(fit_costs, "kernels", lambda made: "another loop")
    assert fit_costs.fingerprint("relu", kernel) != before


@pytest.mark.parametrize(
    ("op", "kernel"), [("conv2d", "portable"), ("depthwise_conv2d", "columns"), ("mean", "reduce")]
)
def test_sizes_are_finite_and_grow_from_zero(op: str, kernel: str):
    program = one_step(op, kernel)
    sizes = rows.features(program.steps[0], program.graph)
    assert sizes["step"] == 1
    assert all(np.isfinite(value) and value > 0 for value in sizes.values())


def test_the_report_has_cycles_time_and_energy(model, tmp_path):
    done = tool("build", model, "--board", "nucleo_l4r5zi", "-o", tmp_path / "out", "--json")
    report = json.loads(done.stdout)
    cycles = report["cycles"]["value"]
    assert report["cycles"]["how"] == cost.HOW["cycles"]
    assert cycles == pytest.approx(sum(layer["cycles"] for layer in report["layers"]), abs=len(report["layers"]))
    assert report["latency_ms"] == pytest.approx(1e3 * cycles / report["board"]["clock_hz"], rel=1e-3)
    assert report["energy_uj"] == pytest.approx(278e-6 * cycles, rel=1e-3)
    assert report["energy_range_uj"] == pytest.approx([275e-6 * cycles, 282e-6 * cycles], rel=1e-3)
    assert "MLPerf" in report["energy_source"]
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "Time of one inference (modelled)" in text
    assert "without wait states" in text


def test_a_board_whose_core_is_not_modelled_has_null_figures(model, tmp_path):
    report = json.loads(tool("build", model, "--board", "esp32", "-o", tmp_path / "out", "--json").stdout)
    assert report["cycles"] == {"value": None, "how": None}
    assert report["instructions"] == {"value": None, "how": None}
    assert report["latency_ms"] is None
    assert (report["energy_uj"], report["energy_range_uj"], report["energy_source"]) == (None, None, None)
    assert {layer["cycles"] for layer in report["layers"]} == {None}


def test_a_core_without_a_cycle_model_has_instructions(model, tmp_path):
    report = json.loads(tool("build", model, "--board", "esp32c3", "-o", tmp_path / "out", "--json").stdout)
    assert report["cycles"] == {"value": None, "how": None}
    assert report["instructions"] == {"value": report["instructions"]["value"], "how": cost.HOW["instructions"]}
    assert report["instructions"]["value"] > 1000
    assert report["latency_ms"] is None
    assert "instructions" in (tmp_path / "out" / "report.txt").read_text()


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
