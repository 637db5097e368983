"""`tinycomp fit`: a model made small enough for a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinycomp.commands import options
from tinycomp.errors import BadInput

if TYPE_CHECKING:
    from tinycomp.frontend import Model, Request
    from tinycomp.quantize.convert import Converted


def _share(_ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    from tinycomp.target import parse_share

    return None if value is None else parse_share(value, f"--{param.name}")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--board", required=True, metavar="BOARD", help="The board to fit; `tinycomp boards` lists them.")
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="250 to 500 typical inputs: .npz (x, optional y), .npy, a folder of arrays or images.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: build/NAME-BOARD-fit.")
@click.option("--flash", metavar="BYTES", callback=options.size, help="Flash budget instead of the board's (64K, 1M).")
@click.option("--ram", metavar="BYTES", callback=options.size, help="RAM budget instead of the board's.")
@click.option("--max-ms", type=float, metavar="MS", help="Time budget for one inference.")
@click.option("--weights", metavar="SHARE", callback=_share, help="Weights and biases, as 55% of the plain int8 build.")
@click.option("--cycles", metavar="SHARE", callback=_share, help="Modelled cycles, as 62% of the plain int8 build.")
@click.option("--min-accuracy", type=click.FloatRange(0, 1), metavar="A",
              help="Accuracy by the labels, or agreement with the float model, that must be kept.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(0, 10_000), default=60, show_default=True,
              help="Of distillation, where it is needed; 0 for none.")  # fmt: skip
@click.option("--opt", type=click.Choice(["speed", "size", "balanced"]), default="balanced", show_default=True)
@click.option("--stream", type=click.Choice(["auto", "off", "on", "push"]), default="auto", show_default=True)
@click.option("--framework", metavar="NAME", help="arduino, espidf, stm32cube, … Default: the board's first.")
@click.option("--name", metavar="NAME", help="Prefix of the C symbols. Default: from the file name.")
@click.option("--pixels", metavar="LOW:HIGH", callback=options.pixels, help="Real values of black and white in images.")
@click.option("--force", is_flag=True, help="Write over a folder that is not ours.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def fit(model: Path, board: str, data: Path, out: Path | None, weights: float | None, cycles: float | None,
        min_accuracy: float | None, epochs: int, pixels: tuple[float, float] | None, force: bool, as_json: bool,
        **given: Any) -> None:  # fmt: skip
    """Make the float32 MODEL fit the board with the least loss, from a few hundred inputs.

    Leaves a complete build in DIR, its model.tflite, and the recipe.json that `tinycomp build --recipe` repeats.
    """
    from tinycomp import build as builder
    from tinycomp import frontend, terminal
    from tinycomp.fit import answer, search
    from tinycomp.fit.goal import Wanted
    from tinycomp.fit.recipe import empty, widths
    from tinycomp.quantize import data as cases

    loaded = terminal.load(model, as_json)
    source = frontend.float_source(loaded)
    if source is None:
        raise BadInput("computes in integers already", where=str(model), fix="give the float32 model")
    inputs = cases.load(data, source, pixels)
    chosen = builder.Options(board=board, quantize="int8", data=str(data), **given)
    with terminal.progress(f"fitting {model.name}", 100) as advance:
        found = search.fit(loaded, source, inputs, Wanted(weights, cycles, min_accuracy), chosen,
                           empty(loaded, inputs), lambda what, share: advance(round(100 * share)), epochs)  # fmt: skip
    build = found.made.build
    target = out or Path("build") / f"{build.name}-{board}-fit"
    recipe = found.chosen.recipe.dumps(widths(found.small))
    terminal.say_kept(builder.write(build, target, force, {"recipe.json": recipe}), target)
    terminal.tell(answer.facts(found), answer.headline(found, model.name), answer.sections(found), as_json, target)


def carried_out(model: Model, request: Request, file: Path) -> tuple[Model, Converted]:
    """What `tinycomp build --recipe` compiles. Raises BadInput."""
    from tinycomp import frontend
    from tinycomp.fit import recipe
    from tinycomp.quantize import data as cases

    source = frontend.float_source(model)
    if source is None or request.data is None:
        raise BadInput("needs the float32 model and the data that it was made for", where="--recipe",
                       fix="give the model and --data FILE that `tinycomp fit` was given")  # fmt: skip
    try:
        text = file.read_bytes()
    except OSError as reason:
        raise BadInput(f"cannot be read: {reason.strerror}", where=str(file)) from None
    return recipe.carried_out(model, source, cases.load(request.data, source, request.pixels),
                              recipe.loads(text, str(file)))  # fmt: skip
