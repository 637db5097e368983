"""How long tinycomp itself takes: start-up, a build, growth with the model. Prints figures and asserts nothing.

    python benchmarks/run.py [--runs N]

Times of whole processes, compilers that they start included; the machine's other load is in the wall time.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mobilenet import mobilenet_v2

from tinycomp.tflite import writer

ROOT = Path(__file__).resolve().parents[1]
VWW = ROOT.parent / "shared" / "models" / "vww_int8.tflite"
DIGITS = ROOT / "examples" / "digits" / "digits.tflite"
BOARD = "emu_cortex_m7"  # 4 MB of flash and of RAM: the largest model here fits it
WIDTHS = ((0.35, 96), (0.5, 160), (0.75, 192), (1.0, 224))


def took(command: Sequence[str], runs: int) -> str:
    """Wall and processor time of the fastest run, as text. Raises CalledProcessError where one fails."""
    best = (float("inf"), 0.0)
    for _ in range(runs):
        start, used = time.perf_counter(), _processor()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        best = min(best, (time.perf_counter() - start, _processor() - used))
    return f"{best[0]:7.2f} s {best[1]:9.2f} s"


def _processor() -> float:
    """Seconds that finished child processes have used."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def build_command(model: Path, out: Path) -> list[str]:
    """The build that is timed."""
    return [*tinycomp(), "build", str(model), "--board", BOARD, "-o", str(out), "--force", "--json"]


def tinycomp() -> list[str]:
    """The command line under this interpreter."""
    return [sys.executable, "-m", "tinycomp.cli"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time tinycomp itself")
    parser.add_argument("--runs", type=int, default=3)
    runs: int = parser.parse_args().runs
    print(f"Python {platform.python_version()}, {platform.machine()}; the fastest of {runs} runs")
    print("                                   wall   processor")
    print(f"  tinycomp --help            {took([*tinycomp(), '--help'], runs)}")
    print(f"  python -c pass             {took([sys.executable, '-c', 'pass'], runs)}")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        for model in (DIGITS, VWW):
            if model.is_file():
                print(f"  build {model.stem:<20} {took(build_command(model, out), runs)}")
            else:
                print(f"  build {model.stem:<20}  (not measured: there is no {model})")
        print("growth: MobileNetV2 of random weights, one run each")
        print("   width  image   .tflite bytes  nodes      wall   processor")
        for width, size in WIDTHS:
            graph = mobilenet_v2(width, size)
            model = Path(folder) / f"mobilenet_{int(width * 100)}.tflite"
            model.write_bytes(writer.write(graph))
            times = took(build_command(model, out), 1)
            print(f"  {width:6.2f} {size:6d} {model.stat().st_size:15,d} {len(graph.nodes):6d} {times}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"largest process: {peak / 1024:,.0f} MiB resident")


if __name__ == "__main__":
    main()
