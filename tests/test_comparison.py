"""docs/comparison.md: the others' figures are those of peers.toml, and ours are not better than what is measured."""

from __future__ import annotations

import re
import shutil

import comparison
import pytest
import speed

from tests.support import needs_shared

PAGE = comparison.PAGE.read_text()
MODELS = {title: model for model, title in comparison.TITLES.items()}


def rows(mark: str) -> list[list[str]]:
    """The cells of a table's lines, the titles left out."""
    (block,) = re.findall(f"<!-- {mark} -->(.*?)<!-- /{mark} -->", PAGE, re.DOTALL)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.strip().splitlines()[2:]]


def figure(ours: int, core: str = "cortex-m4", model: str = "kws_int8", cycles: bool = True) -> speed.Figures:
    """A measurement with the peers' figures of that core and model."""
    return speed.Figures(model, core, "on", ours, ours if cycles else None, None, None, None, None, 0, 0, None,
                         *speed.others(model, core))  # fmt: skip


def test_every_core_and_model_is_there_and_the_others_figures_are_those_of_the_data():
    found = rows("work")
    wanted = [(core, model) for core in comparison.CORES for model in comparison.TITLES]
    assert [(row[0].split(",")[0], MODELS[row[1]]) for row in found] == wanted
    for row, (core, model) in zip(found, wanted, strict=True):
        cycles = "instructions" not in row[0]
        (made,) = comparison.work([figure(round(1e6 * float(row[2])), core, model, cycles)])[2:]
        _, _, _, peer, ratio, record = [cell.strip() for cell in made.strip("|").split("|")]
        assert (row[3], row[5]) == (peer, record)
        assert float(row[4]) == pytest.approx(float(ratio), abs=0.011)  # from ours with three digits


@needs_shared
def test_the_others_memory_is_that_of_the_data():
    peers = speed.PEERS["modelled"]
    assert [MODELS[row[0]] for row in rows("memory")] == list(comparison.TITLES)
    for title, _, arena, _, flash in rows("memory"):
        model = MODELS[title]
        size = (speed.SHARED / f"{model}.tflite").stat().st_size
        assert arena == f"{peers['arena'][model]:,}"
        assert flash == f"{peers['code'][model] + size:,}"


@needs_shared
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="arm-none-eabi-gcc is not installed")
def test_the_page_claims_no_more_for_us_than_is_measured():
    found = speed.run(("sww_int8", "cortex-m4", comparison.STREAM))
    assert isinstance(found, speed.Figures)
    (work,) = [row for row in rows("work") if (row[0], MODELS[row[1]]) == ("cortex-m4", "sww_int8")]
    (memory,) = [row for row in rows("memory") if MODELS[row[0]] == "sww_int8"]
    assert found.cycles is not None
    assert found.cycles <= 1.03e6 * float(work[2])
    assert found.arena <= 1.03 * int(memory[1].replace(",", ""))


def test_a_page_without_the_marks_is_not_written():
    with pytest.raises(ValueError, match="0 places for work"):
        comparison.written("# no marks", {"work": ["| a |"]})
    assert comparison.written("a\n<!-- work -->\nold\n<!-- /work -->\nb", {"work": ["new"]}) == (
        "a\n<!-- work -->\nnew\n<!-- /work -->\nb"
    )
