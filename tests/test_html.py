"""report.html: complete, self-contained, safe with hostile names, and alive in a browser."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from docs import screenshots
from tests.rules.nets import Net
from tests.support import SHARED, needs_shared
from tests.test_library import HOSTILE, small
from tinycomp import build, frontend, on_boards
from tinycomp.cli import main
from tinycomp.ir import Graph
from tinycomp.ops.relu import Relu
from tinycomp.report import charts, html
from tinycomp.report.encode import dumps
from tinycomp.target import load_board
from tinycomp.tflite import writer

DIGITS = Path(__file__).resolve().parents[1] / "examples" / "digits" / "digits.tflite"
VOID = {"meta", "br"}
needs_chromium = pytest.mark.skipif(screenshots.CHROMIUM is None, reason="no Chromium: apt-get install chromium")


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element; remember that it is open."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that closes itself."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """The innermost open element must be this one."""
        assert self.open.pop() == tag

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """The attributes of the elements of that tag and class."""
        return [
            a for t, a in self.elements
            if t == tag and all(v in (a.get(k.rstrip("_")) or "").split() for k, v in wanted.items())
        ]  # fmt: skip


def report_of(model: bytes | Path, **options: Any) -> dict[str, Any]:
    """The report of a build for an emulated Cortex-M4, as it comes back from the file."""
    loaded = frontend.load(model) if isinstance(model, Path) else frontend.Model("net.tflite", model)
    made = build.compile_model(loaded, build.Options(**{"board": "emu_cortex_m4", **options}))
    return json.loads(dumps(made.report))


@pytest.fixture(scope="module")
def digits() -> dict[str, Any]:
    """The report of the example."""
    return report_of(DIGITS)


@pytest.mark.parametrize("stream", ["off", "on", "push"])
def test_the_map_has_every_tensor_and_every_byte_that_is_alive(stream):
    report = report_of(writer.write(small()), stream=stream)
    page = Page(html.render(report))
    drawn = {a["data-tensor"] for a in page.all("path", class_="shape")}
    assert drawn == {r["tensor"] for r in report["memory"]["residents"]} >= {"x", "out"}
    width, arena = report["memory"]["tasks"] + 2, report["arena_bytes"]
    alive = [0] * width
    for resident in report["memory"]["residents"]:
        for _, _, at, size, start, end in resident["spans"]:
            assert 0 <= start < end <= width
            assert 0 <= at < at + size <= arena
            alive[start:end] = [a + size for a in alive[start:end]]
    assert max(alive) <= arena
    assert max(alive) <= report["memory"]["lower_bound"] <= arena
    for step in report["memory"]["steps"]:  # these count a row and the one that overwrites it both
        assert alive[step["step"] + 1] <= sum(t["bytes"] for t in step["live"])


def test_rectangles_of_one_moment_never_overlap(digits):
    assert {r["region"] for r in digits["memory"]["residents"]} == {"sram"}
    for time in range(digits["memory"]["tasks"] + 2):
        alive = sorted((at, size) for r in digits["memory"]["residents"]
                       for _, _, at, size, a, b in r["spans"] if a <= time < b)  # fmt: skip
        assert all(at + size <= after for (at, size), (after, _) in pairwise(alive))


def test_whole_tensors_peak_at_the_layer_by_layer_bound_and_each_layer_has_its_calls(digits):
    memory = digits["memory"]
    assert max(memory["whole"]) == memory["layer_by_layer"]
    assert sum(calls for _, calls in memory["order"]) == memory["tasks"]
    assert {layer for layer, _ in memory["order"]} == {layer["index"] for layer in digits["layers"]}


def test_the_page_asks_the_network_for_nothing_and_is_small(digits):
    text = html.render(digits)
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert not [a for _, a in page.elements if {"src", "href"} & set(a) and not (a.get("href") or "").startswith("#")]
    assert len(text) < 400_000


def test_every_figure_of_the_report_is_on_the_page(digits):
    text = html.render(digits)
    for key in ("arena_bytes", "flash_bytes", "ram_bytes", "macs_live", "weights_bytes"):
        assert f"{digits[key]:,}" in text, key
    rows = Page(text).all("tr")
    assert [a["data-layer"] for a in rows if "data-layer" in a] == [str(x["index"]) for x in digits["layers"]]


def test_links_inside_the_page_lead_somewhere(digits):
    page = Page(html.render(digits))
    ids = {a["id"] for _, a in page.elements if "id" in a}
    links = {(a["href"] or "")[1:] for a in page.all("a")}
    assert links
    assert links <= ids


def test_the_same_report_gives_the_same_page_again_from_the_file(tmp_path):
    (tmp_path / "m.tflite").write_bytes(writer.write(small()))
    run = CliRunner().invoke(main, ["build", str(tmp_path / "m.tflite"), "--board", "esp32", "-o", str(tmp_path / "o")])
    assert run.exit_code == 0, run.output
    again = CliRunner().invoke(main, ["report", str(tmp_path / "o"), "--html", str(tmp_path / "again.html")])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "o" / "report.html").read_bytes()


def test_hostile_names_stay_text():
    graph: Graph = small()
    bad = f"{HOSTILE}</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    tensors = {bad if n == "x" else n: replace(t, name=bad) if n == "x" else t for n, t in graph.tensors.items()}
    node = replace(graph.nodes[0], inputs=tuple(bad if n == "x" else n for n in graph.nodes[0].inputs))
    report = report_of(writer.write(replace(graph, tensors=tensors, nodes=(node,), inputs=(bad,))))
    page = Page(html.render(report))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not [a for _, a in page.elements if any(k.startswith("on") for k in a)]


def test_over_budget_is_said_in_red_and_the_bar_is_full():
    report = report_of(writer.write(small()), ram=40, flash=100)
    page = Page(html.render(report))
    assert page.all("span", class_="bad")
    assert [a["style"] for a in page.all("i", class_="over")] == ["width:100.000%"] * 2


def test_sections_that_other_stages_add_become_tables_and_absent_ones_nothing(digits):
    facts = {"metric": "top-1", "float": 0.91234567, "layers": [{"name": "a", "sqnr_db": 31.5}, {"name": "b"}]}
    page = Page(html.render({**digits, "accuracy": facts}))
    assert [a for _, a in page.elements if a.get("id") == "accuracy"]
    assert not [a for _, a in page.elements if a.get("id") == "quantization"]
    (panel,) = html.panels({"accuracy": facts})
    assert panel.tables[0].rows == (("metric", "top-1"), ("float", 0.91235))
    assert panel.tables[1] == html.Table(("name", "sqnr db"), (("a", 31.5), ("b", "–")))


def test_a_matrix_becomes_a_table_with_its_rows_numbered():
    (table,) = html.tables({"confusion": [[5, 1], [0, 7]]})
    assert table == html.Table(("confusion", "0", "1"), (("0", 5, 1), ("1", 0, 7)))
    assert html.tables({"ragged": [[1], [2, 3]]}) == (html.Table((), (("ragged", "1, 2, 3"),)),)


def test_the_graph_is_drawn_before_and_after_the_passes_that_change_it():
    net = Net(seed=2)
    x = net.input(1, 6, 6, 4)
    wide = net.op(Relu(), net.conv(x, 8))
    report = report_of(writer.write(net.graph(wide)))
    assert [(layer["op"], layer["shape"]) for layer in report["source"]["layers"]] == [
        ("conv2d", [1, 6, 6, 8]), ("relu", [1, 6, 6, 8])]  # fmt: skip
    (before, drawn), (after, ran) = charts.graphs(report)
    assert (before, after) == ("as in the file", "as it runs")
    assert (len(drawn.boxes), len(ran.boxes)) == (4, 3)
    page = Page(html.render(report))
    assert len(page.all("svg", class_="graph")) == 2
    assert len(charts.graphs(report_of(writer.write(small())))) == 1


def test_a_known_time_and_energy_are_shown_with_their_source(digits):
    known = {**digits, "latency_ms": 12.5, "energy_uj": 80.0, "energy_range_uj": [78.0, 83.5],
             "cycles": {"value": 1_000_000, "how": "modelled"},
             "budget": {**digits["budget"], "max_ms": 10.0}}  # fmt: skip
    assert [t.value for t in html.tiles(known)][3:] == ["1,000,000", "12.5 ms", "80 µJ"]
    time = charts.budget_bars(known, None)[-1]
    assert (time.title, time.fits, time.full) == ("Time", False, 100.0)


def test_a_report_without_a_map_is_a_page_without_one(digits):
    text = html.render({**digits, "memory": {**digits["memory"], "residents": None}})
    assert 'class="map' not in text
    Page(text)


def test_each_memory_region_has_a_map_and_a_bar_of_its_own():
    report = report_of(DIGITS, board="esp_wrover_kit", ram=900)
    page = Page(html.render(report))
    assert [r["name"] for r in report["regions"]] == ["sram", "psram"]
    assert [a["viewbox"] for a in page.all("svg", class_="map")] == [
        f"0 0 {report['memory']['tasks'] + 2} {r['arena_bytes']}" for r in report["regions"]
    ]
    assert [a["data-bar"] for a in page.all("div", class_="bar")] == ["Flash", "RAM", "psram"]
    chart = charts.memory_chart(report)
    assert chart is not None
    for m, bar in zip(chart.maps, charts.budget_bars(report, chart)[1:], strict=True):
        assert sum(p.bytes for p in bar.parts) == bar.used >= m.size
        assert sum(n for _, n in m.peak) <= m.size


@pytest.mark.parametrize("top", [1, 7, 100, 4188, 55_296, 1_505_280])
def test_ticks_are_round_and_few(top):
    found = charts.ticks(top)
    assert found[0] == 0
    assert 2 <= len(found) <= 5
    assert found[-1] <= top


def test_skipping_edges_that_overlap_have_lanes_of_their_own():
    layers = [
        {"index": i, "name": f"l{i}", "shape": [1], "segment": i, "inputs": inputs, "outputs": [f"t{i}"]}
        for i, inputs in enumerate([["x"], ["t0"], ["t1", "t0"], ["t2", "t0"]])
    ]
    ports = {"inputs": [{"name": "x", "shape": [1], "dtype": "int8"}],
             "outputs": [{"name": "t3", "shape": [1], "dtype": "int8"}]}  # fmt: skip
    picture = charts.graph(layers, ports["inputs"], ports["outputs"])
    assert len(picture.edges) == 7
    assert len({edge.split("H")[1].split("q")[0] for edge in picture.edges if "q" in edge}) == 2


@pytest.mark.parametrize("value", [
    {}, [], {"a": []}, {"a": {"b": [1, 2, {"c": None}]}, "d": "</x>\n"}, [[1] * 9, [2]], {"t": (1, (2, 3))},
])  # fmt: skip
def test_the_encoder_writes_what_json_reads(value):
    assert json.loads(dumps(value)) == json.loads(json.dumps(value))


# What a reader does, played in the page itself: hover the middle of a rectangle, sort by multiply-accumulates.
PLAY = """
const map = document.querySelector("svg.map"), box = map.getBoundingClientRect();
const arena = map.viewBox.baseVal.height, width = map.viewBox.baseVal.width;
const shape = document.querySelector("path.shape");
const [x, y, w, h] = shape.getAttribute("d").match(/M(\\d+) (\\d+)h(\\d+)v(\\d+)/).slice(1).map(Number);
map.dispatchEvent(new PointerEvent("pointermove", {bubbles: true,
  clientX: box.left + (x + w / 2) / width * box.width, clientY: box.top + (y + h / 2) / arena * box.height}));
out.tip = document.getElementById("tip").innerText;
out.shown = getComputedStyle(document.getElementById("tip")).display;
out.tensor = shape.dataset.tensor;
out.lit = shape.classList.contains("on");
map.dispatchEvent(new PointerEvent("pointerleave"));
out.gone = getComputedStyle(document.getElementById("tip")).display;
const heads = [...document.querySelectorAll("#layers th")];
const macs = heads.findIndex(h => h.textContent === "MACs");
heads[macs].querySelector("button").click();
out.sorted = [...document.querySelectorAll("#layers tbody tr")].map(r => Number(r.cells[macs].dataset.v));
const channels = (colour) => colour.match(/\\d+/g).slice(0, 3).map((c) => {
  const s = c / 255;
  return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
});
const luminance = (colour) => channels(colour).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const paper = luminance(getComputedStyle(document.body).backgroundColor);
out.paper = paper;
out.contrast = Math.min(...[...document.querySelectorAll("h1, p, a, td, .tile b, .tile span, .good")].map((part) => {
  const ink = luminance(getComputedStyle(part).color);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}));
out.heights = [...document.querySelectorAll("svg")].map(s => s.getBoundingClientRect().height);
"""
# The same on the page of boards: sort by name downwards, then by RAM.
PLAY_BOARDS = """
const heads = [...document.querySelectorAll("th button")];
const [name, ram] = ["board", "RAM"].map(t => heads.find(b => b.textContent === t));
const rows = () => [...document.querySelectorAll("#boards tbody tr")];
const column = ram.closest("th").cellIndex;
name.click();
name.click();
out.names = rows().map(r => r.cells[0].textContent);
ram.click();
out.shares = rows().map(r => Number(r.cells[column].dataset.v));
"""
BEFORE = "const out = {};"
AFTER = """
out.overflow = document.documentElement.scrollWidth - innerWidth;
const result = document.createElement("pre");
result.id = "result";
result.textContent = JSON.stringify(out);
document.body.append(result);
"""


def play(script: str, text: str, folder: Path, width: int, dark: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Run a script on a page in a headless Chromium; what it put into `out`, and what the console complained of."""
    played = folder / "played.html"
    frame = folder / "frame.html"
    played.write_text(text.replace("</body>", f"<script>{BEFORE}{script}{AFTER}</script></body>"))
    # A window cannot be narrower than 500 pixels, a frame can.
    frame.write_text(f"""<iframe id="f" src="played.html" style="width:{width}px;height:800px;border:0"></iframe>
      <pre id="seen"></pre><script>onload = () => {{
      document.getElementById("seen").textContent =
        document.getElementById("f").contentDocument.getElementById("result").textContent; }}</script>""")
    done = subprocess.run(
        [*screenshots.flags(folder, dark=dark), "--enable-logging=stderr", "--log-level=0", "--window-size=1300,900",
         "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(unescape(found.group(1))), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1200, True)])
def test_in_a_browser_it_hovers_sorts_and_keeps_to_the_window_light_and_dark(digits, tmp_path, width, dark):
    seen, complaints = play(PLAY, html.render(digits), tmp_path, width, dark)
    assert complaints == []
    assert (seen["shown"], seen["gone"]) == ("block", "none")
    assert seen["tip"].startswith(seen["tensor"])
    assert re.search(r"rows? \d.*: [\d,]+ bytes at [\d,]+", seen["tip"])
    assert seen["lit"] is True
    assert seen["sorted"] == sorted((x["macs"] for x in digits["layers"]), reverse=True)
    assert seen["overflow"] <= 0
    assert all(height > 20 for height in seen["heights"])
    assert (seen["paper"] < 0.05) if dark else (seen["paper"] > 0.9)
    assert seen["contrast"] >= 4.5  # what WCAG 2.2 asks of text, success criterion 1.4.3


@needs_chromium
def test_the_page_of_boards_sorts_in_a_browser_and_keeps_to_a_narrow_window(tmp_path):
    boards = [load_board(name) for name in ("esp32", "pico", "emu_cortex_m3")]
    text = on_boards.page("three", on_boards.fits(frontend.load(DIGITS), boards))
    seen, complaints = play(PLAY_BOARDS, text, tmp_path, 390)
    assert complaints == []
    assert seen["names"] == ["pico", "esp32", "emu_cortex_m3"]
    assert seen["shares"] == sorted(seen["shares"], reverse=True)
    assert len(set(seen["shares"])) == 3
    assert seen["overflow"] <= 0


@needs_shared
def test_the_page_of_a_streamed_reference_model_is_well_formed_and_small():
    report = report_of(SHARED / "models" / "vww_int8.tflite", stream="push")
    text = html.render(report)
    Page(text)
    assert len(text) < 400_000
    assert max(report["memory"]["whole"]) == report["memory"]["layer_by_layer"]
