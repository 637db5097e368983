"""`tinycomp build`: a model for a board, or for several with a table of them; or several models in one firmware."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinycomp.commands import options
from tinycomp.errors import BadInput, DoesNotFit

if TYPE_CHECKING:
    from tinycomp.build import Build, Options
    from tinycomp.frontend import Kind, Model, Request
    from tinycomp.ops.custom import Definition

BYTES = "BYTES"


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MODEL...")
@click.option("--board", "boards", required=True, multiple=True, metavar="BOARD",
              help="The board to build for; `tinycomp boards` lists them. Given several times: one build for each, "
                   "and a table of them.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Default: build/NAME-BOARD. With several boards each has its folder there.")  # fmt: skip
@click.option("--name", "names", multiple=True, metavar="NAME",
              help="Prefix of the C symbols. Default: from the file name. Once for each model.")  # fmt: skip
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
@options.custom_ops
@click.option("--force", is_flag=True, help="Write although over budget, or over a folder that is not ours.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout and nothing else.")
def build(models: Sequence[Path], boards: Sequence[str], names: Sequence[str], out: Path | None, quantize: Kind,
          data: Path | None, pixels: tuple[float, float] | None, recipe: Path | None, custom: tuple[Definition, ...],
          force: bool, as_json: bool, **given: Any) -> None:  # fmt: skip
    """Compile MODEL into a PlatformIO project with its report; several models go into one firmware.

    MODEL is a .tflite file; .keras, .h5 and SavedModel folders are converted by TensorFlow, .onnx files by onnx2tf,
    where these are installed.
    """
    from tinycomp import build as builder
    from tinycomp import frontend, terminal
    from tinycomp.layout import SRAM

    if names and len(names) != len(models):
        raise BadInput(f"{len(names)} names for {len(models)} models", where="--name", fix="give one for each")
    if len(models) > 1:
        _require_plain(boards, data, recipe, custom)
        given["regions"] = given["regions"] or SRAM
    given |= {"quantize": quantize, "data": data and str(data)}
    request = frontend.Request(quantize, data, pixels)
    loaded = [terminal.load(model, as_json, custom) for model in models]
    made = [_compiled(model, request, builder.Options(board=board, name=name, **given), recipe)
            for model, name in zip(loaded, names or [None] * len(models), strict=True)
            for board in dict.fromkeys(boards)]  # fmt: skip
    end = _together if len(models) > 1 else _several if len(made) > 1 else _alone
    end(made, out, force, as_json)


def _compiled(model: Model, request: Request, chosen: Options, recipe: Path | None) -> Build:
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.commands.fit import carried_out

    with terminal.progress(f"compiling {Path(model.path).name} for {chosen.board}", 100) as advance:
        if recipe is None:
            return builder.compile_request(model, request, chosen, lambda what, share: advance(round(100 * share)))
        source, converted = carried_out(model, request, recipe)
        return builder.compile_model(source, chosen, converted)


def _require_plain(boards: Sequence[str], data: Path | None, recipe: Path | None,
                   custom: Sequence[Definition]) -> None:  # fmt: skip
    """Raise BadInput for options that several models do not take."""
    refused = {
        "--board": (len(set(boards)) > 1, "build for one board at a time"),
        "--data": (data is not None, "make each model int8 by `tinycomp quantize` first"),
        "--custom-op": (bool(custom), "build each model by itself"),
        "--recipe": (recipe is not None, "take the model.tflite of each fitted build"),
    }
    for option, (given, fix) in refused.items():
        if given:
            raise BadInput("several models in one firmware do not take it", where=option, fix=fix)


def _alone(made: Sequence[Build], out: Path | None, force: bool, as_json: bool) -> None:
    """Write the only build, and tell all about it."""
    from tinycomp import build as builder
    from tinycomp import terminal
    from tinycomp.report import text

    (build,) = made
    if not force:
        builder.require_fit(build)
    target = _written(build, out or _folder(made), force)
    terminal.tell(build.report, text.headline(build.report), text.sections(build.report), as_json, target)


def _together(made: Sequence[Build], out: Path | None, force: bool, as_json: bool) -> None:
    """Write one firmware with all the models, and tell what they take."""
    from tinycomp import terminal, together
    from tinycomp.report import together as text

    firmware = together.Firmware(tuple(made))
    if not force:
        together.require_fit(firmware)
    target = out or _folder(made)
    terminal.say_kept(together.write(firmware, target, force), target)
    terminal.tell(firmware.facts, text.headline(firmware.facts), text.sections(firmware.facts), as_json, target)


def _folder(builds: Sequence[Build]) -> Path:
    """Where one board's builds go unless the user says: build/NAME-BOARD, or build/A-B-BOARD."""
    return Path("build") / "-".join([*(b.name for b in builds), builds[0].board.id])


def _written(build: Build, target: Path, force: bool) -> Path:
    from tinycomp import build as builder
    from tinycomp import terminal

    terminal.say_kept(builder.write(build, target, force), target)
    return target


def _several(made: Sequence[Build], out: Path | None, force: bool, as_json: bool) -> None:
    """Write each build that fits its board, then tell how all of them do.

    Raises DoesNotFit, when all that is told, where some do not fit.
    """
    from tinycomp import on_boards, terminal

    found: list[on_boards.Fit] = []
    written: list[Path] = []
    refused: list[str] = []
    for build in made:
        reason = _refusal(build)
        if reason is not None:
            refused.append(f"{build.board.id}: {reason}")
        found.append(on_boards.fit_of(build, fits=reason is None))
        if reason is None or force:
            written.append(_written(build, out / build.board.id if out else _folder([build]), force))
    title = f"{made[0].model.name} on {len(made)} boards"
    terminal.tell(on_boards.facts(found), title, on_boards.sections(found), as_json)
    for path in () if as_json else written:
        click.echo(f"wrote {path}")
    if refused and not force:
        raise DoesNotFit("\n  ".join([f"{len(refused)} of {len(made)} boards cannot hold it", *refused]))


def _refusal(build: Build) -> DoesNotFit | None:
    from tinycomp import build as builder

    try:
        builder.require_fit(build)
    except DoesNotFit as reason:
        return reason
    return None
