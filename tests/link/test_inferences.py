"""Inferences are right and run once, on a quiet line and on one that drops, doubles and corrupts bytes."""

from __future__ import annotations

import random
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests import firmware, support
from tests.firmware import OUTPUT_BYTES, SHA256
from tests.link.devices import BOARD, INPUTS, QUICK, Noisy, Twice, device, expected
from tinycomp.errors import DeviceError
from tinycomp.harness import batch, messages, native
from tinycomp.harness.frames import REPLY, Frame, encode
from tinycomp.harness.link import Link, Patience, run_cases

pytestmark = support.needs_cc


def test_a_device_says_what_it_is(programs: dict[str, Path]):
    with device(programs["plain"]) as link:
        hello = link.hello()
    assert (hello.tool_version, hello.model, hello.sha256, hello.arena) == ("0.1.0", "kws", SHA256, 256)
    assert (hello.inputs, hello.outputs, hello.tensors) == ((12, 8), OUTPUT_BYTES, 5)
    assert (hello.layers, hello.ticks_per_second, hello.profiled, hello.push) == (2, 1_000_000, False, False)


def test_inferences_give_the_models_answers_and_state_is_kept_or_reset(programs: dict[str, Path]):
    other = (bytes(range(100, 112)), struct.pack("<2f", 0, 8))
    with device(programs["plain"]) as link:
        assert link.run(INPUTS).outputs == expected(1)
        assert link.run(other, reset=False).outputs == expected(2, other)
        assert link.run(INPUTS).outputs == expected(1)
        assert link.stack() is None


def test_the_emitted_library_answers_as_it_does_natively(tmp_path: Path):
    graph = firmware.convolution()
    cases = support.random_inputs(graph, cases=5)
    model = firmware.emitted(graph, tmp_path)
    wanted, _ = native.run(native.compile_library(tmp_path, "net", graph, tmp_path), graph, cases)
    program = firmware.host_program(model, BOARD, "arduino", tmp_path / "app", reference_port=True)
    with firmware.running([program]) as (_, wire):
        noisy = Noisy(wire, 0.0005, random.Random(5))
        with Link(noisy, QUICK) as link:
            link.require("net", SHA256, graph)
            found, ticks = run_cases(link, graph, cases)
    assert noisy.seen > 40
    assert len(ticks) == len(cases)
    for answer, reference in zip(found, wanted, strict=True):
        support.same(answer, reference, "device")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [0.0005, 0.003])
@pytest.mark.parametrize("kind", ["plain", "pushed"])
def test_every_inference_is_right_and_runs_once_on_a_noisy_line(
    programs: dict[str, Path], kind: str, rate: float, seed: int
):
    inputs = INPUTS if kind == "plain" else INPUTS[:1]
    with firmware.running([programs[kind]]) as (_, wire):
        noisy = Noisy(wire, rate, random.Random(seed))
        with Link(noisy, QUICK, sequence=65_530) as link:
            link.reset()
            for count in range(1, 5):
                assert link.run(inputs, reset=False).outputs == expected(count, inputs)
    assert noisy.seen > 40


@pytest.mark.parametrize("seed", range(3))
def test_a_line_that_is_too_bad_gives_right_answers_or_an_error_and_no_hang(programs: dict[str, Path], seed: int):
    impatient = Patience(reply=0.1, tries=3, greeting=0.5, greeting_reply=0.1, inference=0.5)
    start = time.monotonic()
    failures = 0
    with firmware.running([programs["plain"]]) as (_, wire):
        link = Link(Noisy(wire, 0.02, random.Random(seed)), impatient)
        for _ in range(5):
            try:
                assert link.run(INPUTS).outputs == expected(1)
            except DeviceError:
                failures += 1
        link.close()
    assert failures > 0
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("kind", ["plain", "pushed"])
def test_a_request_that_arrives_twice_is_carried_out_once(programs: dict[str, Path], kind: str):
    inputs = INPUTS if kind == "plain" else INPUTS[:1]
    with firmware.running([programs[kind]]) as (_, wire), Link(Twice(wire), QUICK) as link:
        link.reset()
        for count in range(1, 4):
            assert link.run(inputs, reset=False).outputs == expected(count, inputs)


def test_a_profiled_firmware_names_its_layers_and_counts_their_ticks(programs: dict[str, Path]):
    for kind, inputs in (("profiled", INPUTS), ("pushed", INPUTS[:1])):
        with device(programs[kind]) as link:
            link.run(inputs)
            layers = link.profile()
            assert link.hello().profiled
        assert [layer.name for layer in layers] == ["first", 'second, with a "long" name']
        assert all(0 <= layer.ticks < 1_000_000 for layer in layers)


def test_an_ordinary_firmware_says_how_to_get_ticks(programs: dict[str, Path]):
    with device(programs["plain"]) as link, pytest.raises(DeviceError, match="-DKWS_PROFILE"):
        link.profile()


def test_a_model_with_many_tensors_tells_all_their_sizes(tmp_path: Path):
    """More than fit into one answer."""
    outputs = "".join(
        f"#define KWS_OUTPUT{i}_{macro}\n"
        for i in range(40)
        for macro in (f"BYTES {i + 1}", f"ELEMENTS {i + 1}", "TYPE int8_t")
    )
    text = (firmware.STUBS / "kws.h").read_text().replace("#define KWS_NUM_OUTPUTS 3", "#define KWS_NUM_OUTPUTS 40")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("#define KWS_OUTPUT")]
    (tmp_path / "kws.h").write_text("".join(lines).replace("typedef enum", f"{outputs}\ntypedef enum", 1))
    (tmp_path / "kws.c").write_text(
        (firmware.STUBS / "kws.c")
        .read_text()
        .replace("KWS_OUTPUT0_ELEMENTS", "300")
        .replace("(const void *)output2 : NULL", "(const void *)output2 : (const void *)output0")
    )
    model = firmware.Model("kws", tmp_path, (tmp_path / "kws.c",), firmware.INPUTS, ("int8",) * 40)
    program = firmware.host_program(model, BOARD, "arduino", tmp_path / "app", reference_port=True)
    with device(program) as link:
        hello = link.hello()
    assert (hello.inputs, hello.outputs) == ((12, 8), tuple(range(1, 41)))


# All requests in one file, all replies in another.


SCRIPT = (
    messages.hello(),
    *(messages.inference(INPUTS, OUTPUT_BYTES, reset=k == 0) for k in range(3)),
    messages.layers(2),
    messages.stack(),
)


def test_a_whole_conversation_goes_through_files(programs: dict[str, Path]):
    done = subprocess.run(
        [programs["profiled"]], input=batch.script(SCRIPT), capture_output=True, timeout=60, check=True
    )
    hello, *answers, layers, stack = batch.results(SCRIPT, done.stdout)
    assert hello.model == "kws"
    assert [answer.outputs for answer in answers] == [expected(k) for k in (1, 2, 3)]
    assert [layer.name for layer in layers][:1] == ["first"]
    assert stack is None


def test_a_conversation_that_ends_early_or_is_out_of_order_is_an_error(programs: dict[str, Path]):
    script = batch.script(SCRIPT)
    done = subprocess.run([programs["profiled"]], input=script, capture_output=True, timeout=60, check=True)
    with pytest.raises(DeviceError, match=r"stopped after \d+ of \d+ requests"):
        batch.results(SCRIPT, done.stdout[: len(done.stdout) // 2])
    with pytest.raises(DeviceError, match="out of order"):
        batch.results((messages.stack(), *SCRIPT), done.stdout)
    with pytest.raises(DeviceError, match="INVOKE: the firmware has lost the inputs"):
        batch.results((messages.Exchange((messages.Request(messages.INVOKE),), len),),
                      encode(Frame(messages.INVOKE | REPLY, 0, bytes([messages.NOT_READY]))))  # fmt: skip
