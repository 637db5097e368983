"""What quantizing a model cost in accuracy: in a build's report, and as the answer of `tinycomp quantize`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinycomp.quantize.convert import Converted
from tinycomp.report.text import Section, accuracy


def with_accuracy(report: Mapping[str, Any], made: Converted) -> dict[str, Any]:
    """A build's report with the accuracy, the passes before quantization and the warnings of quantizing its model."""
    passes = [{"name": p.name, "exact": p.exact, "before": vars(p.before), "after": vars(p.after)} for p in made.passes]
    return {
        **report, "accuracy": made.facts(), "passes": [*passes, *report["passes"]],
        "warnings": [*made.warnings, *report["warnings"]],
    }  # fmt: skip


def facts(source: str, out: str, before: int, after: int, made: Converted, kind: str) -> dict[str, Any]:
    """The answer of `tinycomp quantize` as plain data: file names, their bytes, the accuracy (None without data),
    warnings."""
    return {
        "model": source, "out": out, "to": kind, "model_bytes": before, "out_bytes": after, "accuracy": made.facts(),
        "warnings": list(made.warnings),
    }  # fmt: skip


def headline(found: Mapping[str, Any]) -> str:
    """The answer in one line."""
    a, to = found["accuracy"], f"{found['model']} ({found['model_bytes']:,} bytes) as {found['to']}"
    if a is None:
        return f"{to}: {found['out_bytes']:,} bytes, by the ranges of its training; --data would measure the accuracy"
    agreement = "" if a["agreement"] is None else f", {100 * a['agreement']:.1f} % of the decisions agree"
    return f"{to}: {found['out_bytes']:,} bytes, SQNR {a['logit_sqnr_db']:.1f} dB{agreement}"


def sections(found: Mapping[str, Any]) -> Sequence[Section]:
    """The figures, the layers, the warnings."""
    measured = found["accuracy"]["layers"] if found["accuracy"] else ()
    layers = tuple((layer["name"], f"{layer['sqnr_db']:.1f}") for layer in measured)
    return (
        *accuracy(found),
        Section("Layers", ("layer", "SQNR (dB)"), "<>", layers),
        Section("Warnings", notes=tuple(found["warnings"])),
    )
