"""`tinycomp fit` and `tinycomp build --recipe` from the outside, on a small residual network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.quantize.nets import images, residual
from tests.test_labels import NAMES, packed
from tinycomp import build as builder
from tinycomp.cli import main
from tinycomp.tflite import writer

pytestmark = pytest.mark.slow

CASES = 80


def tool(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model and its data."""
    made = tmp_path_factory.mktemp("fit")
    model = writer.write(residual(channels=12))
    (made / "net.tflite").write_bytes(packed({"labels.txt": "\n".join(NAMES)}, model))
    x = images(CASES)
    np.savez(made / "data.npz", x=x)
    np.savez(made / "few.npz", x=x[:30])
    np.savez(made / "wrong.npz", x=x, y=np.full(CASES, 7))
    np.savez(made / "labelled.npz", x=x, y=np.arange(CASES) % 5)
    np.savez(made / "other.npz", x=images(CASES, seed=5))
    return made


def fit(folder: Path, out: Path, *more: object, data: str = "data.npz") -> Result:
    """`tinycomp fit` without distillation unless `more` says so."""
    given = ("--board", "nucleo_f446re", "--data", folder / data, "-o", out)
    return tool("fit", folder / "net.tflite", *given, *(("--epochs", 0) if "--epochs" not in more else ()), *more)


@pytest.fixture(scope="module")
def fitted(folder: Path) -> dict[str, Any]:
    """The answer for a third of the weight bytes, and its folder."""
    done = fit(folder, folder / "fitted", "--weights", "33%", "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_budget_is_met_by_fewer_channels_and_fewer_bits(fitted):
    plain, chosen = fitted["candidates"][0], fitted["chosen"]
    assert plain["kind"] == "int8"
    assert chosen["weights_bytes"] <= 0.33 * plain["weights_bytes"]
    assert fitted["limits"]["weights"] == pytest.approx(0.33 * plain["weights_bytes"])
    assert "pruned" in chosen["kind"]
    assert min(fitted["channels"].values()) < 12


def test_a_complete_build_its_model_and_its_recipe_are_left(folder, fitted):
    out = folder / "fitted"
    recipe = json.loads((out / "recipe.json").read_text())
    assert recipe["channels"] == fitted["channels"]
    assert (out / "model.tflite").is_file()
    assert (out / "platformio.ini").is_file()
    assert builder.report_of(out)["weights_bytes"] == fitted["report"]["weights_bytes"]


def test_the_recipe_makes_the_same_bytes_again(folder, fitted):
    out = folder / "again"
    done = tool("build", folder / "net.tflite", "--board", "nucleo_f446re", "--data", folder / "data.npz",
                "--recipe", folder / "fitted" / "recipe.json", "-o", out)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    for file in ("model.tflite", "lib/net/src/net.c", "lib/net/src/net.h", "lib/net/src/net_data.c", "report.json"):
        assert (out / file).read_bytes() == (folder / "fitted" / file).read_bytes(), file


def test_the_labels_of_the_file_are_in_the_library(folder, fitted):
    labels = ", ".join(f'"{name}"' for name in NAMES)
    assert labels in (folder / "fitted" / "lib" / "net" / "src" / "net.h").read_text()


def test_a_recipe_of_other_data_or_no_recipe_is_refused(folder, fitted, tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    for recipe, data, told in (
        (folder / "fitted" / "recipe.json", "other.npz", "was made for another data"),
        (tmp_path / "recipe.json", "data.npz", "is no recipe"),
        (tmp_path / "missing.json", "data.npz", "cannot be read"),
    ):
        done = tool("build", folder / "net.tflite", "--board", "nucleo_f446re", "--data", folder / data,
                    "--recipe", recipe, "-o", tmp_path / "out")  # fmt: skip
        assert done.exit_code == 2
        assert told in done.stderr
        assert not (tmp_path / "out").exists()


def test_a_model_that_fits_is_left_as_it_is_and_the_table_says_so(folder, tmp_path):
    done = fit(folder, tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    for word in (
        "net.tflite: int8;",
        "100.0 % of plain int8",
        "divergence",
        "agreement",
        "→",
        "limits: flash",
        "channels",
    ):
        assert word in done.stdout
    assert json.loads((tmp_path / "out" / "recipe.json").read_text())["gone"] == []


def test_distillation_is_tried_where_pruning_loses(folder, tmp_path):
    done = fit(folder, tmp_path / "out", "--cycles", "25%", "--epochs", 2, "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    plain, chosen = answer["candidates"][0], answer["chosen"]
    assert chosen["cycles"] <= 0.25 * plain["cycles"]
    assert "int4" not in chosen["kind"]  # fewer bits save no time
    assert any("distilled" in c["kind"] for c in answer["candidates"])
    assert chosen["divergence"] == min(c["divergence"] for c in answer["candidates"][1:])


@pytest.mark.parametrize(
    ("more", "data", "status", "told"),
    [
        ((), "few.npz", 2, "it needs 64 at least"),
        ((), "wrong.npz", 2, "label 7 is not one of 0 … 4"),
        (("--weights", "120%"), "data.npz", 2, "write it as 55% or 0.55"),
        (("--weights", "2%"), "data.npz", 3, "nothing meets the budget"),
        (("--min-accuracy", "0.9"), "labelled.npz", 3, "is asked for; nearest"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(folder, tmp_path, more, data, status, told):
    done = fit(folder, tmp_path / "out", *more, data=data)
    assert done.exit_code == status
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []
