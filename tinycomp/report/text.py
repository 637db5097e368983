"""The report as text: the same tables on a terminal (rich) and in a file (plain, at most 100 columns)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinycomp.report import chart


@dataclass(frozen=True)
class Section:
    """A titled table. align: one of < and > for each column. notes follow the table."""

    title: str
    headers: tuple[str, ...] = ()
    align: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def number(value: float | int | None) -> str:
    """1,234 or a dash where there is no figure."""
    return "–" if value is None else f"{value:,}"


def short(name: str, width: int = 48) -> str:
    """A tensor's name for a table. Converters join the names of what they fused by semicolons: the last one is it."""
    last = name.rsplit(";", 1)[-1]
    return last if len(last) <= width else f"…{last[1 - width :]}"


def sections(report: Mapping[str, Any]) -> list[Section]:
    """What there is to say of a build, most important first."""
    rest = (_time, _flash, _memory, _over_time, _passes, _layers, _warnings)
    return [_budget(report), *accuracy(report), *(part(report) for part in rest)]


def headline(report: Mapping[str, Any]) -> str:
    """The answer in one line."""
    board, budget = report["board"], report["budget"]
    flash, ram = number(report["flash_bytes"]), number(report["ram_bytes"])
    return (f"{report['model']['source']} {'fits' if budget['fits'] else 'does NOT fit'} {board['id']} "
            f"({board['core']}, {board['clock_hz'] / 1e6:g} MHz): flash {flash} of {number(budget['flash'])}, "
            f"RAM {ram} of {number(budget['ram'])} bytes")  # fmt: skip


def _budget(r: Mapping[str, Any]) -> Section:
    rows = tuple(
        (what, number(used), number(limit), f"{100 * used / limit:.1f} %", "yes" if used <= limit else "NO")
        for what, used, limit in (
            ("flash", r["flash_bytes"], r["budget"]["flash"]),
            ("RAM", r["ram_bytes"], r["budget"]["ram"]),
            *((region["name"], region["arena_bytes"], region["budget"]) for region in r["regions"][1:]),
        )
    )
    return Section("Budget (bytes)", ("", "needs", "board has", "used", "fits"), "<>>>>", rows)


def accuracy(r: Mapping[str, Any]) -> list[Section]:
    """What quantizing the model cost, and what each correction did; nothing where the model came as integers."""
    a = r["accuracy"]
    if a is None:
        return []
    columns = [("all data", a), *([("held out", a["held_out"])] if a["held_out"] else [])]
    rows = [("cases", *(number(c["cases"]) for _, c in columns)),
            ("logit SQNR (dB)", *(f"{c['logit_sqnr_db']:.1f}" for _, c in columns))]  # fmt: skip
    if a["agreement"] is not None:
        rows.append(("same decision (%)", *(f"{100 * c['agreement']:.1f}" for _, c in columns)))
    if a["score"]:
        name = a["score"]["name"]
        for kind in ("float32", "quantized"):
            rows.append((f"{name}, {kind}", *(f"{c['score'][kind]:.4g}" for _, c in columns)))
    worst = a["worst_layer"]
    notes = (f"worst layer: {worst['name']}, {worst['sqnr_db']:.1f} dB",) if worst else ()
    made = [Section("Accuracy against the float model", ("", *(n for n, _ in columns)), "<" + ">" * len(columns),
                    tuple(rows), notes)]  # fmt: skip
    steps = tuple((c["name"], f"{c['before_db']:.1f}", f"{c['after_db']:.1f}", "yes" if c["kept"] else "no")
                  for c in a["corrections"])  # fmt: skip
    notes = ("dB of logits and last layers, on cases that did not fit them",) if a["held_out"] else ()
    made.append(Section("Corrections", ("", "before", "after", "kept"), "<>>>", steps, notes if steps else ()))
    chosen = tuple((c["layer"], c["precision"], number(c["int8_bytes"]), number(c["bytes"]),
                    "" if c["loss"] is None else f"{c['loss']:.2g}") for c in a["precisions"])  # fmt: skip
    notes = ("loss: noise that the layer alone adds to the logits as int4, relative to their power",)
    return [*made, Section("Precision of the layers", ("layer", "weights", "int8 bytes", "bytes", "loss"), "<<>>>",
                           chosen, notes if chosen else ())]  # fmt: skip


def _time(r: Mapping[str, Any]) -> Section:
    value, counted, limit = r["cycles"]["value"], r["instructions"]["value"], r["budget"]["max_ms"]
    if counted is not None:
        return Section("Work of one inference", ("", ""), "<>", (("instructions", number(counted)),),
                       (r["instructions"]["how"],))  # fmt: skip
    if value is None:
        return Section("Time", notes=(f"not known: {r['board']['core']} or a kernel of this build has no cycle model",))
    mhz, budget = f"{r['board']['clock_hz'] / 1e6:g}", "" if limit is None else f" of {limit:g} ms allowed"
    rows = (("cycles", number(value)), (f"at {mhz} MHz", f"{r['latency_ms']:g} ms{budget}"))
    if r["energy_uj"] is not None:
        least, most = r["energy_range_uj"]
        rows = (*rows, ("energy", f"{r['energy_uj']:g} µJ ({least:g} to {most:g})"))
    notes = (f"{r['cycles']['how']}; memory without wait states, no interrupts",
             *([f"energy by cycles: {r['energy_source']}"] if r["energy_source"] else []))  # fmt: skip
    return Section("Time of one inference (modelled)", ("", ""), "<>", rows, notes)


def _flash(r: Mapping[str, Any]) -> Section:
    code = r["code_bytes"]
    rows = (("weights", number(r["weights_bytes"])), ("biases and tables", number(r["tables_bytes"])),
            (f"code ({code['how']})", number(code["value"])))  # fmt: skip
    saved = "" if r["macs"] == r["macs_live"] else f" ({number(r['macs'])} in the file)"
    notes = (f"{number(r['macs_live'])} multiply-accumulates an inference{saved}",
             f"{number(r['overhead_bytes'])} bytes besides the model's weights and biases")  # fmt: skip
    return Section("Flash (bytes)", ("", "bytes"), "<>", rows, notes)


def _memory(r: Mapping[str, Any]) -> Section:
    m = r["memory"]
    layer = r["layers"][m["peak_layer"]]["name"] if r["layers"] else "–"
    rows = tuple((short(b["tensor"]), _place(b), number(b["rows"]), number(b["bytes"])) for b in m["peak"])
    beside = "".join(f", {region['name']} {number(region['arena_bytes'])}" for region in r["regions"][1:])
    notes = (f"arena {number(r['arena_bytes'])}{beside}; whole tensors would need {number(m['layer_by_layer'])}; "
             f"most bytes alive at once {number(m['lower_bound'])}",
             *_why(m["plans"], r["budget"]["ram"]))  # fmt: skip
    title = f"RAM at the peak, layer {m['peak_layer']} {layer} (bytes)"
    return Section(title, ("tensor", "from", "rows", "bytes"), "<>>>", rows, notes)


def _why(plans: Sequence[Mapping[str, Any]], budget: int) -> Iterator[str]:
    """Which plan was taken, and what the others would have cost."""
    taken = next(p for p in plans if p["taken"])
    beside = next((p for p in plans if p["slower_kernels"] == taken["slower_kernels"] and p is not taken), None)
    other = f"; {beside['kind']} would take {number(beside['arena_bytes'])}" if beside else ""
    yield f"{taken['kind']}: {number(taken['arena_bytes'])} of {number(budget)} bytes{other}"
    count, first = taken["slower_kernels"], plans[0]
    if count:
        layers = "1 layer runs" if count == 1 else f"{count} layers run"
        why = "does not fit" if not first["fits"] else "only --opt speed would spend"
        yield (f"{layers} a kernel with less scratch than the fastest there is: with the fastest the arena would be "
               f"{number(first['arena_bytes'])} bytes, which {why}")  # fmt: skip


def _over_time(r: Mapping[str, Any]) -> Section:
    m = r["memory"]
    taken = next(p for p in m["plans"] if p["taken"])
    series = {"whole tensors": "whole_tensors", taken["kind"]: "arena", "bytes alive": "live"}
    peak = sorted(m["peak"], key=lambda b: -b["bytes"])
    parts = ", ".join(f"{short(b['tensor'], 24)} {number(b['bytes'])}" for b in peak[:3])
    more = f" and {len(peak) - 3} more" if len(peak) > 3 else ""
    layer = f", layer {m['peak_layer']} {short(r['layers'][m['peak_layer']]['name'], 24)}" if r["layers"] else ""
    notes = (*chart.bands({name: m["over_time"][key] for name, key in series.items()}),
             f"most alive: {number(m['lower_bound'])}{layer}", f"  {parts}{more}")  # fmt: skip
    return Section("RAM over time (bytes; the rows of the model from the first computed to the last)", notes=notes)


def _place(entry: Mapping[str, Any]) -> str:
    """Where a tensor begins; outside SRAM with the region's name."""
    return f"{entry['region']} {entry['offset']:,}" if "region" in entry else number(entry["offset"])


def _passes(r: Mapping[str, Any]) -> Section:
    def change(p: Mapping[str, Any], key: str) -> str:
        before, after = p["before"][key], p["after"][key]
        return "" if before == after else f"{number(before)} → {number(after)}"

    rows = tuple(
        (p["name"], "exact" if p["exact"] else "rounds", change(p, "nodes"), change(p, "macs"), change(p, "weights"))
        for p in r["passes"]
    )
    return Section(
        "Passes", ("pass", "bits", "nodes", "MACs", "weights"), "<<>>>", rows, () if rows else ("nothing to simplify",)
    )


def _layers(r: Mapping[str, Any]) -> Section:
    unit = "cycles" if r["instructions"]["how"] is None else "instructions"
    rows = tuple(
        (str(layer["index"]), layer["name"], layer["kernel"], "×".join(map(str, layer["shape"])), number(layer["macs"]),
         number(layer["weights_bytes"]), number(layer[unit]))
        for layer in r["layers"]
    )  # fmt: skip
    title = "Layers (cycles: modelled)" if r["cycles"]["how"] is not None else "Layers"
    return Section(title, ("#", "layer", "kernel", "output", "MACs", "weights", unit), "><<>>>>", rows)


def _warnings(r: Mapping[str, Any]) -> Section:
    return Section("Warnings", notes=tuple(r["warnings"]))


def render(report: Mapping[str, Any]) -> str:
    """The whole report as plain text."""
    parts = [headline(report)]
    parts += [plain(s) for s in sections(report) if s.rows or s.notes]
    return "\n\n".join(parts) + "\n"


def plain(section: Section) -> str:
    """A section as aligned columns."""
    lines = [section.title]
    if section.rows:
        lines += table(section.headers, section.rows, section.align)
    return "\n".join([*lines, *(f"  {note}" for note in section.notes)])


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Aligned lines, the header first."""
    everything = [headers, *rows]
    widths = [max(len(row[i]) for row in everything) for i in range(len(headers))]
    return [
        "  " + "  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(row, align, widths, strict=True)).rstrip()
        for row in everything
    ]
