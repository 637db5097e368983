"""The command line: parses, calls, prints. Decides nothing.

Imports of the compiler stay inside the commands, so that `tinycomp --help` starts at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinycomp import __version__
from tinycomp.commands import options
from tinycomp.commands.boards import boards
from tinycomp.commands.build import build
from tinycomp.commands.compare import compare
from tinycomp.commands.doctor import doctor
from tinycomp.commands.fit import fit
from tinycomp.commands.new import new
from tinycomp.errors import BadInput, TinycompError

if TYPE_CHECKING:
    from tinycomp.harness.runner import Where
    from tinycomp.ir import Array
    from tinycomp.ops.custom import Definition


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
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE",
              help="Calibration inputs: .npz (x, optional y), .npy, or a folder of arrays or of images. "
                   "Not needed where the model was trained for int8.")  # fmt: skip
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
@options.custom_ops
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def quantize(model: Path, data: Path | None, out: Path, custom: tuple[Definition, ...], as_json: bool,
             **given: Any) -> None:  # fmt: skip
    """Make the float32 MODEL a full-integer .tflite that any TFLite runtime can run."""
    from tinycomp import frontend, terminal
    from tinycomp.quantize.files import save
    from tinycomp.report import quantization as text

    loaded, request = terminal.load(model, as_json, custom), frontend.quantize_request(data=data, **given)
    with terminal.progress(f"quantizing {model.name}", 100) as advance:
        made, converted = frontend.quantized(loaded, request, lambda what, share: advance(round(100 * share)))
    if converted is None:
        raise BadInput("computes in integers already", where=str(model), fix="build it as it is")
    save(made.data, out, model)
    facts = text.facts(model.name, str(out), len(loaded.data), len(made.data), converted, request.kind)
    terminal.tell(facts, text.headline(facts), text.sections(facts), as_json, out)


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@options.custom_ops
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def inspect(model: Path, custom: tuple[Definition, ...], as_json: bool) -> None:
    """Inputs, outputs, operators, multiply-accumulates, weights, and what is unsupported and why."""
    from tinycomp import terminal
    from tinycomp.report import inspection

    facts = inspection.collect(terminal.load(model, as_json, custom))
    terminal.tell(facts, inspection.headline(facts), inspection.sections(facts), as_json)
    if facts["problems"]:
        click.get_current_context().exit(2)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def ops(as_json: bool) -> None:
    """The operators, with the dtypes and kernels of each."""
    from tinycomp import terminal
    from tinycomp.report import tables

    terminal.tell(tables.operator_facts(), "", [tables.operator_section()], as_json)


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
@options.which
def verify(directory: Path, where: Where, port: str | None, inputs: Path | None, cases: int,
           model: str | None) -> None:  # fmt: skip
    """Run the C in DIR and compare it with the model, bit for bit; names the first layer that differs.

    Of a firmware of several models each is compared, or the one that --model names.
    """
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.harness import runner
    from tinycomp.harness.inputs import load_cases, random_cases

    names = builder.names_of(directory) if model is None and inputs is None else [model]
    for chosen in names:
        manifest, front = builder.reopen(directory, chosen)
        given = load_cases(inputs, front.source) if inputs else random_cases(front.source, cases)
        name = manifest["name"]
        with terminal.progress(f"verifying {name}", len(given)) as advance:
            done = runner.verify(directory, manifest, front.source, front.graph, given, where, port, progress=advance)
        equal = f"equal within 1e-5 (largest difference {done.worst:.2g})" if done.worst else "equal to the last bit"
        more = "no sanitizer complaint" if where == "native" else f"stack {done.stack_bytes or 0:,} bytes"
        click.echo(f"{name}: {done.cases} inputs on {where}, outputs {equal}; {more}")


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--inputs", required=True, type=click.Path(path_type=Path), metavar="FILE", help=".npy or .npz.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write outputs here (.npy or .npz).")
@click.option("--on", "where", type=click.Choice(["native", "emulator", "device"]), default="native", show_default=True)
@click.option("--port", metavar="PORT", help="The device's serial port. Default: the only one there is.")
@options.which
def run(directory: Path, inputs: Path, out: Path | None, where: Where, port: str | None, model: str | None) -> None:
    """Run the C in DIR on the inputs; outputs to stdout or a file."""
    import numpy as np

    from tinycomp import build as builder
    from tinycomp.harness import runner
    from tinycomp.harness.inputs import load_cases

    manifest, front = builder.reopen(directory, model)
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
@options.which
def profile(directory: Path, where: Where, port: str | None, inputs: Path | None, as_json: bool,
            model: str | None) -> None:  # fmt: skip
    """Instructions and modelled cycles of one inference, per layer and in all."""
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.harness import device, runner
    from tinycomp.harness.counting import profile as counts
    from tinycomp.harness.inputs import load_cases, random_cases
    from tinycomp.report import profile as text
    from tinycomp.target import load_board

    manifest, front = builder.reopen(directory, model)
    board, name = load_board(manifest["options"]["board"]), manifest["name"]
    case = load_cases(inputs, front.source)[0] if inputs else random_cases(front.source, 4)[-1]
    if where == "device":
        measured = runner.profile_device(directory, manifest, front.graph, case, port)
        terminal.tell(measured, f"{name} on {board.title}", device.profile_sections(measured), as_json)
        return
    with terminal.status(f"counting {name} on {board.core.title} in the {where}", quiet=as_json):
        found = counts.profile(directory, board, manifest, front.graph, case)
    facts, title = text.facts(found, board, name), text.headline(found, board, name)
    terminal.tell(facts, title, text.sections(found, board), as_json)


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write it as one HTML file.")
@options.which
def report(directory: Path, as_json: bool, page: Path | None, model: str | None) -> None:
    """The report of a build once more; of several models what they take together, or the one of --model."""
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.report import html, text, together

    facts = builder.whole_report(directory)
    several = "models" in facts and model is None and page is None
    facts, shown = (facts, together) if several else (builder.report_of(directory, model), text)
    if page is not None:
        page.write_text(html.render(facts), "utf-8")
    if page is None or as_json:
        terminal.tell(facts, shown.headline(facts), shown.sections(facts), as_json)


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


for command in (boards, build, compare, doctor, fit, new):
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
