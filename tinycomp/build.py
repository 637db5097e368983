"""One build: a model and a board in, a folder with the C library, its project and its report out."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import tinycomp
from tinycomp import frontend, regions
from tinycomp.emit import library as emit_library
from tinycomp.emit import project as emit_project
from tinycomp.errors import BadInput, DoesNotFit, Unsupported
from tinycomp.frontend import Front, Kind, Model, Request
from tinycomp.ir import Reference
from tinycomp.lower import lower
from tinycomp.ops import custom
from tinycomp.program import Opt, Program, Recipe, Stream
from tinycomp.quantize.convert import Converted, Report
from tinycomp.quantize.mixed import Ceiling
from tinycomp.report import encode, figures, html, memory, quantization, speed, text
from tinycomp.target import Board, Budget, load_board

MANIFEST = "tinycomp.json"
MODEL_COPY = "model.tflite"
CUSTOM = "custom"  # the folder of custom operators' files
MIXED_ATTEMPTS = 3
STREAMS: tuple[Stream, ...] = ("auto", "push")  # what is tried where another way of streaming does not fit


@dataclass(frozen=True)
class Options:
    """What `tinycomp build` takes; sizes in bytes, None where the board decides."""

    board: str
    name: str | None = None
    opt: Opt = "balanced"
    kernels: Literal["auto", "portable"] = "auto"
    reference: Reference = "tflm"
    stream: Stream = "auto"
    quantize: Kind = "auto"
    data: str | None = None
    framework: str | None = None
    flash: int | None = None
    ram: int | None = None
    max_ms: float | None = None
    regions: str | None = None
    trainable_head: bool = False


@dataclass(frozen=True)
class Build:
    """A finished compilation, not yet written anywhere."""

    model: Model
    options: Options
    board: Board
    budget: Budget
    framework: str
    name: str
    front: Front
    program: Program
    sources: Mapping[str, str]
    report: Mapping[str, Any]


def compile_model(model: Model, options: Options, converted: Converted | None = None) -> Build:
    """Compile. That the result does not fit is in the report, not an error here.

    converted: how the model was quantized on the way, for the report. Raises BadInput, Unsupported (also for a time
    budget that nothing can check).
    """
    board = load_board(options.board)
    framework = board.framework(options.framework)
    budget = Budget.of(board, options.flash, options.ram, options.max_ms, framework=framework)
    name = emit_library.checked_name(options.name) if options.name else emit_library.c_name(model.name)
    front = frontend.front(model, options.reference, options.trainable_head)
    rooms = regions.rooms(board, framework, budget, options.regions)
    program = lower(
        front.graph, Recipe(options.opt, options.stream, options.kernels), board.core.features, rooms, board.core
    )
    labels = model.labels(front.graph.tensors[front.graph.outputs[0]].elements)
    sources = emit_library.library(program, emit_library.Identity(name, model.sha256, labels))
    limits = {room.region: room.bytes for room in rooms.fast_first}
    facts = figures.collect(model, front, program, board, budget, sources, name, limits)
    if converted is not None:
        facts = quantization.with_accuracy(facts, converted)
    speed.require_known(facts, board)
    return Build(model, options, board, budget, framework, name, front, program, sources, facts)


def compile_request(
    model: Model, request: Request, options: Options, report: Report = lambda what, share: None
) -> Build:
    """Quantize as the request says, and compile.

    "mixed" is int8 where that fits the flash; where not, layers get int4 weights until it does, those of least loss.
    Raises what `frontend.quantized` and `compile_model` raise.
    """
    source, converted = frontend.quantized(model, request, report)
    made = compile_model(source, options, converted)
    if request.kind != "mixed" or converted is None:
        return made
    most = made.report["weights_bytes"]
    for _ in range(MIXED_ATTEMPTS):  # code for int4 takes other room than that for int8
        over = made.report["flash_bytes"] - made.budget.flash
        if over <= 0:
            break
        most -= over
        limited = replace(request.options, ceiling=Ceiling(bytes=most))
        source, converted = frontend.quantized(model, replace(request, options=limited), report)
        made = compile_model(source, options, converted)
    return made


def require_fit(build: Build) -> None:
    """Raise DoesNotFit where the board's budget is exceeded: by the tensors at the peak, the weights, or the time."""
    problem = memory.verdict(build.report, build.program, build.board, build.budget)
    problem = problem or speed.verdict(build.report, build.board)
    if problem is not None:
        ways = _other_ways(build) if problem.ram else _less_flash(build)
        raise DoesNotFit(problem.what, where=problem.where, fix="; or ".join([*ways, problem.fix]))


def _other_ways(build: Build) -> list[str]:
    """The ways of streaming that fit the board, for a build that does not."""
    rooms = regions.rooms(build.board, build.framework, build.budget, build.options.regions)
    found: list[str] = []
    for stream in STREAMS:
        if stream != build.options.stream:
            recipe = replace(build.program.recipe, stream=stream)
            try:
                program = lower(build.front.graph, recipe, build.board.core.features, rooms, build.board.core)
            except Unsupported:
                continue  # rows cannot be pushed into every model
            if regions.fits(program.layout, program.pushed, rooms):
                found.append(f"--stream {stream} needs an arena of {program.arena:,} bytes and fits")
    return found


def _less_flash(build: Build) -> list[str]:
    """`--opt size`, if it makes a build fit whose flash is too small."""
    if build.options.opt == "size" or build.report["flash_bytes"] <= build.budget.flash:
        return []
    leaner = compile_model(build.model, replace(build.options, opt="size")).report
    if not leaner["budget"]["fits"]:
        return []
    return [f"--opt size needs {leaner['flash_bytes']:,} bytes of flash and fits"]


def files(build: Build) -> dict[str, str | bytes]:
    """Everything that `build` writes, by relative path. Equal inputs give equal bytes."""
    made: dict[str, str | bytes] = {**emit_project.project_files(project_of(build)), **library_files(build)}
    made["report.json"] = encode.dumps(build.report)
    made["report.txt"] = text.render(build.report)
    made["report.html"] = html.render(build.report)
    made[MODEL_COPY] = build.model.data
    return {**made, **custom.files(build.model.custom, CUSTOM)}


def project_of(build: Build) -> emit_project.Project:
    """What the project around the build's library is made of."""
    graph = build.program.graph
    inputs, outputs = (tuple(graph.tensors[t].dtype for t in names) for names in (graph.inputs, graph.outputs))
    return emit_project.Project(
        name=build.name, board=build.board, framework=build.framework, version=tinycomp.__version__,
        sha256=build.model.sha256, inputs=inputs, outputs=outputs, push=build.program.pushed,
        regions=build.program.regions,
    )  # fmt: skip


def library_files(build: Build) -> dict[str, str]:
    """The library's C files, by relative path."""
    return {f"lib/{build.name}/src/{file}": body for file, body in build.sources.items()}


def described(build: Build) -> dict[str, Any]:
    """What a manifest says of a build."""
    return {"options": _plain(build.options), "name": build.name, "source": Path(build.model.path).name,
            "custom_ops": [d.name for d in build.model.custom]}  # fmt: skip


def write(build: Build, out: Path, force: bool = False, more: Mapping[str, str] | None = None) -> list[str]:
    """Write the build to `out`, whole or not at all; returns the user's own files that were kept.

    more: further files, by relative path.

    A folder of an earlier build is replaced, but what the user has added to it or changed in it (outside lib/,
    custom/ and the reports) stays. Raises BadInput where `out` is something that tinycomp did not make, unless `force`.
    """
    return write_folder({**files(build), **(more or {})}, described(build), out, force)


def write_folder(given: Mapping[str, str | bytes], about: Mapping[str, Any], out: Path, force: bool) -> list[str]:
    """Write the files to `out` as `write` does. about: what the manifest says of them."""
    made = dict(given)
    digests = {path: _digest(body) for path, body in sorted(made.items())}
    manifest = {"tool": "tinycomp", "version": tinycomp.__version__, **about, "files": digests}
    made[MANIFEST] = json.dumps(manifest, indent=1) + "\n"
    kept = _kept(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        staging.chmod(0o755)
        for path, body in made.items():
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body if isinstance(body, bytes) else body.encode())
        for path in kept:
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(out / path, staging / path)
        if (out / ".pio").is_dir() and not out.is_symlink():
            (out / ".pio").rename(staging / ".pio")  # PlatformIO's build cache
        _swap(staging, out)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return kept


def _swap(staging: Path, out: Path) -> None:
    if not out.exists():
        staging.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    out.rename(old / "old")
    try:
        staging.rename(out)
    except OSError:
        (old / "old").rename(out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _kept(out: Path, force: bool) -> list[str]:
    """The user's files in an earlier build. Raises BadInput where `out` is not ours to replace."""
    if not out.exists() and not out.is_symlink():
        return []
    if not out.is_dir():
        raise BadInput("is a file, not a folder", where=str(out), fix="choose another --out")
    present = [p for p in out.rglob("*") if p.is_file() and ".pio" not in p.relative_to(out).parts]
    if not present:
        return []
    manifest = read_manifest(out)
    if manifest is None:
        if force:
            return []
        raise BadInput("exists and was not made by tinycomp; it will not be overwritten", where=str(out),
                       fix="choose another --out, or --force to replace it")  # fmt: skip
    ours: Mapping[str, str] = manifest["files"]
    kept: list[str] = []
    for p in sorted(present):
        path = p.relative_to(out).as_posix()
        generated = path == MANIFEST or path.startswith(("lib/", "report.", f"{CUSTOM}/"))
        if not (generated and path in {*ours, MANIFEST}) and ours.get(path) != _digest(p.read_bytes()) and not force:
            kept.append(path)
    return kept


def read_manifest(out: Path) -> Mapping[str, Any] | None:
    """The manifest of an earlier build, None where `out` is not one."""
    try:
        found: object = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    manifest = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    return manifest if manifest.get("tool") == "tinycomp" else None


def manifest_of(out: Path) -> Mapping[str, Any]:
    """The manifest of a build folder. Raises BadInput where `out` is not one."""
    manifest = read_manifest(out)
    if manifest is None:
        raise BadInput("is not a folder that `tinycomp build` made", where=str(out), fix="give the build's folder")
    return manifest


def report_of(out: Path, model: str | None = None) -> dict[str, Any]:
    """The report of a build folder. model: whose, where there are several. Raises BadInput where there is none."""
    facts = whole_report(out)
    each = {r["model"]["name"]: r for r in facts.get("models", [facts])}
    return each[_chosen(out, list(each), model)]


def whole_report(out: Path) -> dict[str, Any]:
    """report.json; of several models their `models` and what they take together. Raises BadInput without one."""
    try:
        return json.loads((out / "report.json").read_bytes())
    except (OSError, ValueError):
        raise BadInput("holds no report.json", where=str(out), fix="give a folder that `tinycomp build` made") from None


def names_of(out: Path) -> list[str]:
    """The models of a build folder. Raises BadInput where `out` is not one."""
    manifest = manifest_of(out)
    return [m["name"] for m in manifest.get("models", [manifest])]


def _chosen(out: Path, names: Sequence[str], model: str | None) -> str:
    if model is None and len(names) == 1:
        return names[0]
    if model in names:
        return str(model)
    what = "holds several models" if model is None else f"holds no model {model!r}"
    raise BadInput(f"{what}: {', '.join(names)}", where=str(out), fix=f"--model {names[0]}, where the command has it")


def reopen(out: Path, model: str | None = None) -> tuple[Mapping[str, Any], Front]:
    """The manifest and the graphs of a build folder, made again from its copy of the model. Raises BadInput.

    Runs the Python files of its custom operators.

    model: which one of several; the manifest is then that model's, with `models` besides.
    """
    manifest = manifest_of(out)
    each = {m["name"]: m for m in manifest.get("models", [manifest])}
    manifest = {**manifest, **each[_chosen(out, list(each), model)]}
    loaded = frontend.load(out / manifest.get("copy", MODEL_COPY),
                           custom.kept(manifest.get("custom_ops", ()), out / CUSTOM))  # fmt: skip
    options = manifest["options"]
    return manifest, frontend.front(loaded, options["reference"], options.get("trainable_head", False))


def _digest(body: str | bytes) -> str:
    return hashlib.sha256(body.encode() if isinstance(body, str) else body).hexdigest()


def _plain(options: Options) -> dict[str, Any]:
    return dict(vars(options))
