"""The documentation's page of speed says what was measured, beside what is known of other tools."""

from __future__ import annotations

from typing import Any

import speed_page
from speed import Figures


def figures(stream: str, **changed: Any) -> Figures:
    """A build as benchmarks/speed.py writes it."""
    return Figures(**({
        "model": "kws_int8", "core": "cortex-m4", "stream": stream, "instructions": 3_000_000, "cycles": 4_000_000,
        "cycles_per_mac": 1.5, "predicted": 4_100_000.0, "error": 0.025, "layer_error": 0.05, "arena": 4_460,
        "flash": 42_000, "code": 7_000, "peer_cycles": 8_000_000, "peer_instructions": 7_000_000,
        "peer_arena": 22_820, "record_mcycles": 5.18,
    } | changed))  # fmt: skip


def cells(page: str, first: str) -> list[str]:
    """The cells of the only row that begins so."""
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_model_is_compared_with_the_other_tool_by_cycles():
    found = cells(speed_page.page([figures("on")]), "kws_int8")
    assert found == ["kws_int8", "4", "8", "0.50", "5.18", "3", "1.50", "4,460", "22,820", "42,000", "7,000", "+2.5 %"]


def test_where_cycles_are_not_modelled_instructions_are_compared():
    found = figures("on", core="cortex-m55", cycles=None, cycles_per_mac=None, peer_cycles=None, record_mcycles=None)
    page = speed_page.page([found])
    assert "## cortex-m55" in page
    assert cells(page, "kws_int8")[:7] == ["kws_int8", "–", "7 instr.", "0.43", "–", "3", "–"]


def test_what_nothing_is_known_of_is_a_dash():
    found = figures("on", peer_cycles=None, peer_instructions=None, peer_arena=None, code=None, error=None)
    assert cells(speed_page.page([found]), "kws_int8")[2:4] == ["–", "–"]
    assert cells(speed_page.page([found]), "kws_int8")[-4:] == ["–", "42,000", "–", "–"]


def test_streaming_is_compared_with_layer_after_layer_where_both_were_measured():
    every = [figures("off", arena=16_512), figures("on", cycles=4_010_000), figures("push", cycles=4_020_000)]
    page = speed_page.page(every)
    assert cells(page, "kws_int8 | cortex-m4") == [
        "kws_int8",
        "cortex-m4",
        "16,512",
        "+0.25 %",
        "4,460",
        "+0.50 %",
        "4,460",
    ]
    assert "What streaming costs" not in speed_page.page(every[1:])
