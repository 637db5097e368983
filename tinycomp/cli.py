"""The command line: parses, calls, prints. Decides nothing.

Imports of the compiler stay inside the commands, so that `tinycomp --help` starts at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinycomp import __version__
from tinycomp.commands import options
from tinycomp.commands.boards import boards
from tinycomp.commands.compare import compare
from tinycomp.commands.doctor import doctor
from tinycomp.commands.fit import fit
from tinycomp.commands.new import new
from tinycomp.errors import BadInput, TinycompError

if TYPE_CHECKING:
    from tinycomp.frontend import Kind
    from tinycomp.harness.runner import Where
    from tinycomp.ir import Array

BYTES = "BYTES"


class Group(click.Group):
    """Turns the compiler's errors into one message on stderr and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a TinycompError ends the process with its status."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except TinycompError as error:
            click.echo(f"{click.style('error', fg='red', bold=True)}: {error}", err=True)
            ctx.exit(error.exit_status)
        except MemoryError:
            click.echo("error: the model needs more memory than this machine has", err=True)
            ctx.exit(2)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tinycomp")
def main() -> None:
    """Compile TensorFlow Lite models to plain C for microcontrollers.

    The arena is a #define known on the PC; what does not fit or is not supported is refused here, not on the board.
    """


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--board", required=True, metavar="BOARD", help="The board to build for; `tinycomp boards` lists them.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: build/NAME-BOARD.")
@click.option("--name", metavar="NAME", help="Prefix of the C symbols. Default: from the file name.")
@click.option("--opt", type=click.Choice(["speed", "size", "balanced"]), default="balanced", show_default=True,
              help="speed: the fastest that fits; size: the least memory, and layers share code; balanced: 1 % of time "
                   "for 2 % of memory.")  # fmt: skip
@click.option("--kernels", type=click.Choice(["auto", "portable"]), default="auto", show_default=True,
              help="portable keeps to C99 that any core can run.")  # fmt: skip
@click.option("--reference", type=click.Choice(["tflm", "litert"]), default="tflm", show_default=True,
              help="Whose integer rounding to follow: TensorFlow Lite Micro's or LiteRT's.")  # fmt: skip
@click.option("--stream", type=click.Choice(["auto", "off", "on", "push"]), default="auto", show_default=True,
              help="off: layer after layer. on: rows stream through the layers. push: the input comes row by row and "
                   "is never held. auto, on: what takes less memory, at the same speed.")  # fmt: skip
@click.option("--quantize", type=click.Choice(["auto", "int8", "int16x8", "mixed", "none"]), default="auto",
              show_default=True,
              help="auto: a float32 model becomes int8, by --data. int16x8: int16 activations, int8 weights. "
                   "mixed: int4 weights where flash is short. none: float32 C.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE",
              help="Inputs to calibrate a float32 model: .npz (x, y), .npy, a folder of arrays or images.")  # fmt: skip
@click.option("--pixels", metavar="LOW:HIGH", callback=options.pixels, help="Real values of black and white in images.")
@click.option("--flash", metavar=BYTES, callback=options.size, help="Flash budget instead of the board's (64K, 1M).")
@click.option("--ram", metavar=BYTES, callback=options.size, help="RAM budget instead of the board's.")
@click.option("--regions", metavar="NAMES", help="Memory regions to use, such as sram,psram. Default: sram, and the "
              "board's others where that is too small.")  # fmt: skip
@click.option("--max-ms", type=float, metavar="MS", help="Time budget for one inference.")
@click.option("--trainable-head", is_flag=True, help="The last dense layer learns on the board: NAME_train_step.")
@click.option("--framework", metavar="NAME", help="arduino, espidf, stm32cube, … Default: the board's first.")
@click.option("--recipe", type=click.Path(path_type=Path), metavar="FILE",
              help="Make the model as this recipe.json of `tinycomp fit` says, from equal model and data.")  # fmt: skip
@click.option("--force", is_flag=True, help="Write although over budget, or over a folder that is not ours.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout and nothing else.")
def build(model: Path, board: str, out: Path | None, quantize: Kind, data: Path | None,
          pixels: tuple[float, float] | None, recipe: Path | None, force: bool, as_json: bool,
          **given: Any) -> None:  # fmt: skip
    """Compile MODEL into a PlatformIO project with its report.

    MODEL is a .tflite file; .keras, .h5 and SavedModel folders are converted by TensorFlow, .onnx files by onnx2tf,
    where these are installed.
    """
    from tinycomp import build as builder
    from tinycomp import frontend, terminal
    from tinycomp.commands.fit import carried_out
    from tinycomp.report import text

    loaded, request = terminal.load(model, as_json), frontend.Request(quantize, data, pixels)
    chosen = builder.Options(board=board, quantize=quantize, data=data and str(data), **given)
    with terminal.progress(f"compiling {model.name} for {board}", 100) as advance:
        if recipe is None:
            made = builder.compile_request(loaded, request, chosen, lambda what, share: advance(round(100 * share)))
        else:
            source, converted = carried_out(loaded, request, recipe)
            made = builder.compile_model(source, chosen, converted)
    if not force:
        builder.require_fit(made)
    target = out or Path("build") / f"{made.name}-{board}"
    kept = builder.write(made, target, force)
    for path in kept:
        click.echo(f"kept your {target / path}", err=True)
    if as_json:
        click.echo(json.dumps(made.report, indent=1))
        return
    terminal.show(text.headline(made.report), text.sections(made.report))
    click.echo(f"\nwrote {target}")


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Calibration inputs: .npz (x, optional y), .npy, or a folder of arrays or of images.")  # fmt: skip
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="OUT.tflite")
@click.option("--to", "kind", type=click.Choice(["int8", "int16x8", "mixed"]), default="int8", show_default=True,
              help="int16x8: int16 activations. mixed: int4 weights in the layers that lose least.")  # fmt: skip
@click.option("--weights", metavar="LIMIT", help="mixed: most bytes of all weights, 20K or 55% of what int8 takes.")
@click.option("--io", type=click.Choice(["int8", "int16", "float32"]),
              help="The type of inputs and outputs. Default: int16 with --to int16x8, otherwise int8.")  # fmt: skip
@click.option("--observer", type=click.Choice(["minmax", "percentile", "mse", "entropy"]),
              help="How ranges come from what is seen. Default: minmax or mse, whichever is better.")  # fmt: skip
@click.option("--correct", metavar="NAMES", help="bias,round,clip,mean,equalise or none. Default: those that help.")
@click.option("--dense", type=click.Choice(["per-channel", "per-tensor"]), default="per-channel", show_default=True,
              help="Scales of the weights of dense layers; old runtimes take one for all.")  # fmt: skip
@click.option("--pixels", metavar="LOW:HIGH", callback=options.pixels, help="Real values of black and white in images.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def quantize(model: Path, data: Path, out: Path, as_json: bool, **given: Any) -> None:
    """Make the float32 MODEL a full-integer .tflite that any TFLite runtime can run."""
    from tinycomp import frontend, terminal
    from tinycomp.quantize.files import save
    from tinycomp.report import quantization as text

    loaded, request = terminal.load(model, as_json), frontend.quantize_request(data=data, **given)
    with terminal.progress(f"quantizing {model.name}", 100) as advance:
        made, converted = frontend.quantized(loaded, request, lambda what, share: advance(round(100 * share)))
    if converted is None:
        raise BadInput("computes in integers already", where=str(model), fix="build it as it is")
    save(made.data, out, model)
    facts = text.facts(model.name, str(out), len(loaded.data), len(made.data), converted, request.kind)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        terminal.show(text.headline(facts), list(text.sections(facts)))
        click.echo(f"\nwrote {out}")


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def inspect(model: Path, as_json: bool) -> None:
    """Inputs, outputs, operators, multiply-accumulates, weights, and what is unsupported and why."""
    from tinycomp import terminal
    from tinycomp.report import inspection

    facts = inspection.collect(terminal.load(model, as_json))
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        terminal.show(inspection.headline(facts), inspection.sections(facts))
    if facts["problems"]:
        click.get_current_context().exit(2)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def ops(as_json: bool) -> None:
    """The operators, with the dtypes and kernels of each."""
    from tinycomp import terminal
    from tinycomp.report import tables

    if as_json:
        click.echo(json.dumps(tables.operator_facts(), indent=1))
    else:
        terminal.show("", [tables.operator_section()])


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--on", "where", type=click.Choice(["native", "emulator", "device"]), default="native",
              show_default=True,
              help="native: the host's compiler under AddressSanitizer and UndefinedBehaviorSanitizer. "
                   "emulator: the firmware in QEMU, on the board's kind of core. "
                   "device: the board itself, over its serial port.")  # fmt: skip
@click.option("--port", metavar="PORT", help="The device's serial port. Default: the only one there is.")
@click.option("--inputs", type=click.Path(path_type=Path), metavar="FILE", help=".npz or .npy; default: random inputs.")
@click.option("--cases", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many random inputs.")
def verify(directory: Path, where: Where, port: str | None, inputs: Path | None, cases: int) -> None:
    """Run the C in DIR and compare it with the model, bit for bit; names the first layer that differs."""
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.harness import runner
    from tinycomp.harness.inputs import load_cases, random_cases

    manifest, front = builder.reopen(directory)
    given = load_cases(inputs, front.source) if inputs else random_cases(front.source, cases)
    name = manifest["name"]
    with terminal.progress(f"verifying {name}", len(given)) as advance:
        done = runner.verify(directory, manifest, front.source, front.graph, given, where, port, progress=advance)
    exact = "equal to the last bit" if done.worst == 0.0 else f"equal within 1e-5 (largest difference {done.worst:.2g})"
    more = "no sanitizer complaint" if where == "native" else f"stack {done.stack_bytes or 0:,} bytes"
    click.echo(f"{name}: {done.cases} inputs on {where}, outputs {exact}; {more}")


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--inputs", required=True, type=click.Path(path_type=Path), metavar="FILE", help=".npy or .npz.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write outputs here (.npy or .npz).")
@click.option("--on", "where", type=click.Choice(["native", "emulator", "device"]), default="native", show_default=True)
@click.option("--port", metavar="PORT", help="The device's serial port. Default: the only one there is.")
def run(directory: Path, inputs: Path, out: Path | None, where: Where, port: str | None) -> None:
    """Run the C in DIR on the inputs; outputs to stdout or a file."""
    import numpy as np

    from tinycomp import build as builder
    from tinycomp.harness import runner
    from tinycomp.harness.inputs import load_cases

    manifest, front = builder.reopen(directory)
    answers = runner.run(directory, manifest, front.graph, load_cases(inputs, front.source), where, port)
    stacked = [np.stack([case[i] for case in answers]) for i in range(len(front.graph.outputs))]
    if out is None:
        _print_outputs(front.graph.outputs, stacked)
    elif out.suffix == ".npz" or len(stacked) > 1:
        named: dict[str, Any] = {f"output{i}": a for i, a in enumerate(stacked)}
        np.savez(out.with_suffix(".npz"), **named)
    else:
        np.save(out.with_suffix(".npy"), stacked[0])


def _print_outputs(names: tuple[str, ...], stacked: list[Array]) -> None:
    for name, values in zip(names, stacked, strict=True):
        for case, value in enumerate(values):
            click.echo(f"case {case} {name}: {' '.join(map(str, value.ravel().tolist()))}")


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--on", "where", type=click.Choice(["emulator", "device"]), default="emulator", show_default=True,
              help="emulator: exact instructions of the board's core; cycles where they can be modelled. "
                   "device: ticks of the board's own timer.")  # fmt: skip
@click.option("--port", metavar="PORT", help="The device's serial port. Default: the only one there is.")
@click.option("--inputs", type=click.Path(path_type=Path), metavar="FILE",
              help=".npz or .npy, the first case counts; default: a random input.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def profile(directory: Path, where: Where, port: str | None, inputs: Path | None, as_json: bool) -> None:
    """Instructions and modelled cycles of one inference, per layer and in all."""
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.harness import device, runner
    from tinycomp.harness.counting import profile as counts
    from tinycomp.harness.inputs import load_cases, random_cases
    from tinycomp.report import profile as text
    from tinycomp.target import load_board

    manifest, front = builder.reopen(directory)
    board, name = load_board(manifest["options"]["board"]), manifest["name"]
    case = load_cases(inputs, front.source)[0] if inputs else random_cases(front.source, 4)[-1]
    if where == "device":
        measured = runner.profile_device(directory, manifest, front.graph, case, port)
        if as_json:
            click.echo(json.dumps(measured, indent=1))
        else:
            terminal.show(f"{name} on {board.title}", device.profile_sections(measured))
        return
    with terminal.status(f"counting {name} on {board.core.title} in the {where}", quiet=as_json):
        found = counts.profile(directory, board, manifest, front.graph, case)
    if as_json:
        click.echo(json.dumps(text.facts(found, board, name), indent=1))
    else:
        terminal.show(text.headline(found, board, name), text.sections(found, board))


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write it as one HTML file.")
def report(directory: Path, as_json: bool, page: Path | None) -> None:
    """The report of a build once more."""
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.report import html, text

    facts = builder.report_of(directory)
    if page is not None:
        page.write_text(html.render(facts), "utf-8")
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    elif page is None:
        terminal.show(text.headline(facts), text.sections(facts))


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--port", metavar="PORT", help="The serial port to upload to. Default: PlatformIO finds it.")
@click.option("--monitor", is_flag=True, help="Show what the board prints afterwards.")
def flash(directory: Path, port: str | None, monitor: bool) -> None:
    """Build and upload with PlatformIO; an emulated board's firmware starts in the emulator."""
    from tinycomp import build as builder
    from tinycomp.harness import device
    from tinycomp.target import load_board

    manifest = builder.manifest_of(directory)
    device.flash(directory, load_board(manifest["options"]["board"]), port, monitor)


@main.command("setup-emulators")
def setup_emulators() -> None:
    """Install what `--on emulator` and `pio run -e emulated` need: compilers, QEMU, PlatformIO's build tool."""
    from tinycomp.harness import setup

    setup.setup(click.echo)


for command in (boards, compare, doctor, fit, new):
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
