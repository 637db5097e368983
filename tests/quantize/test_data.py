"""Calibration data: every form in which it comes, and every way in which it is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rules.nets import Net
from tinycomp.errors import BadInput
from tinycomp.ir import Array, Graph
from tinycomp.ops.logistic import Logistic
from tinycomp.quantize import data, files

SHAPE = (6, 5, 3)


def model(*shape: int, classes: int = 4) -> Graph:
    """A float model of one input and a vector of classes."""
    net = Net("float32")
    x = net.input(*(shape or (1, *SHAPE)))
    return net.graph(net.dense(x, classes, inner=int(np.prod(net.tensors[x].shape[1:]))))


def autoencoder() -> Graph:
    """A float model whose output has its input's shape."""
    net = Net("float32")
    return net.graph(net.dense(net.dense(net.input(1, 12), 3), 12))


def values(count: int = 60, shape: tuple[int, ...] = SHAPE) -> Array:
    """Random cases."""
    return np.random.default_rng(3).normal(0, 1, (count, *shape)).astype(np.float32)


def npz(path: Path, **arrays: Array) -> Path:
    """An .npz file."""
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


def test_an_npz_holds_cases_and_labels(tmp_path):
    labels = np.arange(60) % 4
    found = data.load(npz(tmp_path, x=values(), y=labels), model())
    np.testing.assert_array_equal(found.inputs[0], values()[:, None])
    assert found.labels is not None
    assert found.labels.kind == "class"
    np.testing.assert_array_equal(found.labels.values, labels)
    assert len(found) == 60
    assert found.warnings == ()


@pytest.mark.parametrize("shape", [(60, 1, *SHAPE), (60, *SHAPE)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_npy_holds_cases_with_or_without_the_leading_one(tmp_path, shape, dtype):
    x = values().reshape(shape).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    found = data.load(tmp_path / "x.npy", model())
    assert found.inputs[0].dtype == np.float32
    np.testing.assert_array_equal(found.inputs[0].reshape(-1), x.astype(np.float32).reshape(-1))


def test_a_folder_of_arrays_is_read_in_the_order_of_names(tmp_path):
    x = values()
    np.save(tmp_path / "b.npy", x[1])
    np.save(tmp_path / "a.npy", x[0])
    (tmp_path / "more").mkdir()
    np.save(tmp_path / "more" / "c.npy", x[2:])
    (tmp_path / "notes.txt").write_text("where it comes from")
    found = data.load(tmp_path, model())
    np.testing.assert_array_equal(found.inputs[0][:, 0], x)
    assert "1 files are neither" in found.warnings[0]


@pytest.mark.parametrize(("dtype", "zero"), [("int8", 83), ("uint8", 200), ("int16", 7)])
def test_integers_are_read_by_their_scale_and_zero_point(tmp_path, dtype, zero):
    info = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(info.min, info.max + 1, (60, *SHAPE)).astype(dtype)
    path = npz(tmp_path, x_int8=x, scale=np.float32(0.25), zero_point=np.int32(zero))
    found = data.load(path, model())
    np.testing.assert_allclose(found.inputs[0][:, 0], 0.25 * (x.astype(np.float64) - zero))
    quant = found.quants[0]
    if dtype == "int16":
        assert quant is None
    else:
        assert quant is not None
        assert quant.zero_point == (zero if dtype == "int8" else zero - 128,)


def test_a_model_of_two_inputs_takes_an_array_for_each(tmp_path):
    net = Net("float32")
    a, b = net.input(1, 4), net.input(1, 3)
    graph = net.graph(net.dense(a, 2), net.dense(b, 2))
    x, y = values(60, (4,)), values(60, (3,))
    found = data.load(npz(tmp_path, input0=x, **{b: y}), graph)
    np.testing.assert_array_equal(found.inputs[1][:, 0], y)
    with pytest.raises(BadInput, match=r"input 1, 'x1'; it holds input0"):
        data.load(npz(tmp_path, input0=x), graph)
    with pytest.raises(BadInput, match="60 of 'x0', 59 of 'x1'"):
        data.load(npz(tmp_path, input0=x, input1=y[1:]), graph)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(BadInput, match="the model has 2 inputs"):
        data.load(tmp_path / "x.npy", graph)


def test_cases_come_from_python_too():
    found = data.from_cases((x for x in values()), model(), labels=[0] * 60)
    assert len(found) == 60
    part = found.part([1, 3])
    np.testing.assert_array_equal(part.inputs[0], found.inputs[0][[1, 3]])
    assert part.labels is not None
    assert len(part.labels.values) == 2


@pytest.mark.parametrize(("array", "message"), [
    (values().transpose(0, 3, 1, 2), r"\[60, 3, 6, 5\].*NCHW.*moveaxis\(x, -3, -1\)"),
    (values().reshape(60, -1), r"\[60, 90\].*reshape\(-1, 6, 5, 3\)"),
    (values()[..., :2], r"expected \[cases, 6, 5, 3\]"),
    (values()[:0], "holds no cases"),
    (values().astype(np.int32), r"is int32, the model takes float32.*scale and zero_point"),
    (values().astype(np.uint8), r"is uint8.*--pixels LOW:HIGH"),
    (values().astype(np.complex64), "is complex64"),
    (np.full((60, *SHAPE), 2.5, np.float32), "every value of the input 'x0' is 2.5"),
])  # fmt: skip
def test_a_bad_array_is_refused_with_file_and_reason(tmp_path, array, message):
    with pytest.raises(BadInput, match=r"data\.npz.*" + message if array.size else message) as error:
        data.load(npz(tmp_path, x=array), model())
    assert error.value.fix


@pytest.mark.parametrize(("bad", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_values_that_are_not_finite_are_named_by_file_and_index(tmp_path, bad, name):
    x = values()
    x[41, 0, 2, 1] = x[52, 0, 0, 0] = bad
    with pytest.raises(BadInput, match=rf"data\.npz, x, index 41: holds {name} \(1 of 90 values; 2 of 60 cases"):
        data.load(npz(tmp_path, x=x), model())
    (tmp_path / "arrays").mkdir()
    for k, case in enumerate(x):
        np.save(tmp_path / "arrays" / f"{k:02}.npy", case)
    with pytest.raises(BadInput, match=r"arrays/41\.npy, index 0: holds"):
        data.load(tmp_path / "arrays", model())


def test_a_missing_last_axis_is_named():
    with pytest.raises(BadInput, match=r"x\[\.\.\., None\]"):
        data.from_cases([np.zeros((4, 4), np.float32)], model(1, 4, 4, 1))


@pytest.mark.parametrize(("y", "message"), [
    (np.zeros(59), "has 59 labels, the data 60 cases"),
    (np.full(60, 4), r"y, index 0: label 4 is not one of 0 … 3 \(the model has 4 classes\); 60 are like it"),
    (np.r_[np.zeros(30), -1, np.zeros(29)], "index 30: label -1.0"),
    (np.r_[np.zeros(9), 0.5, np.zeros(50)], "index 9: label 0.5"),
    (np.r_[np.zeros(9), np.nan, np.zeros(50)], "index 9: is not finite"),
    (np.zeros((60, 3)), "has 3 values for each case, the model's output 4"),
    (np.array(["yes"] * 60), "is <U3"),
])  # fmt: skip
def test_labels_that_do_not_match_are_refused(tmp_path, y, message):
    with pytest.raises(BadInput, match=message):
        data.load(npz(tmp_path, x=values(), y=y), model())


def test_labels_are_understood_by_the_model_they_belong_to(tmp_path):
    hot = np.eye(4)[np.arange(60) % 4]
    one = data.load(npz(tmp_path, x=values(), y=hot), model()).labels
    assert one is not None
    assert one.kind == "class"
    np.testing.assert_array_equal(one.values, np.arange(60) % 4)
    odd = data.load(npz(tmp_path, x=values(60, (12,)), y=np.arange(60) % 2), autoencoder()).labels
    assert odd is not None
    assert odd.kind == "anomaly"
    real = data.load(npz(tmp_path, x=values(), y=values(60, (4,))), model()).labels
    assert real is not None
    assert real.kind == "values"
    net = Net("float32")
    single = net.graph(net.op(Logistic(), net.dense(net.input(1, 4), 1)))
    binary = data.load(npz(tmp_path, x=values(60, (4,)), y=np.arange(60) % 2), single).labels
    assert binary is not None
    assert binary.kind == "binary"


def test_what_is_odd_is_warned_of_and_not_refused(tmp_path):
    x = values()
    x[7] *= 1000
    found = data.load(npz(tmp_path, x=x), model()).warnings
    assert len(found) == 1
    assert "data.npz, x, index 7 reaches" in found[0]
    few = data.load(npz(tmp_path, x=values(12)), model()).warnings
    assert few == ("12 cases are few; 100 to 500 typical inputs are better",)
    equal = data.load(npz(tmp_path, x=np.repeat(values(1), 60, axis=0)), model()).warnings
    assert "all 60 cases of the input 'x0' are equal" in equal[0]
    x = values()
    x[20:40] = 0
    assert "20 of 60 cases" in data.load(npz(tmp_path, x=x), model()).warnings[0]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x93NUMPY\x01\x00", b"x,y\n1,2\n"])
def test_a_file_that_is_no_array_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"x\.npz: is not a numpy file"):
        data.load(tmp_path / "x.npz", model())


def test_python_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([{}, []], object), allow_pickle=True)
    with pytest.raises(BadInput, match=r"x\.npz, x: cannot be read"):
        data.load(tmp_path / "x.npz", model())


@pytest.mark.parametrize(
    ("name", "message"), [("none.npz", "does not exist"), ("empty", "no .npy arrays and no images")]
)
def test_a_path_without_data_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=message):
        data.load(tmp_path / name, model())


@pytest.mark.parametrize(("scale", "zero", "message"), [
    (np.zeros(1), np.zeros(1, int), "not a positive number"), (np.ones(2), np.zeros(1, int), "one number each"),
    (np.ones(1), np.full(1, 0.5), "one number each"), (np.full(1, np.nan), np.zeros(1, int), "not a positive"),
])  # fmt: skip
def test_a_scale_or_zero_point_that_makes_no_sense_is_refused(tmp_path, scale, zero, message):
    x = np.zeros((60, *SHAPE), np.int8)
    with pytest.raises(BadInput, match=message):
        data.load(npz(tmp_path, x=x, scale=scale, zero_point=zero), model())


def test_uint8_pixels_are_scaled_as_told_and_keep_their_integers(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, *SHAPE)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    found = data.load(tmp_path / "x.npy", model(), (-1.0, 1.0))
    np.testing.assert_allclose(found.inputs[0][:, 0], x / 127.5 - 1, atol=1e-6)
    assert found.quants[0] is None  # no byte is 0 exactly
    whole = data.load(tmp_path / "x.npy", model(), (0.0, 255.0)).quants[0]
    assert whole is not None
    assert (whole.scale, whole.zero_point) == ((1.0,), (-128,))


@pytest.mark.parametrize("text", ["1", "1:0", "a:b", "0:inf", "0:1:2", "nan:1"])
def test_pixel_values_that_are_no_range_are_refused(text):
    with pytest.raises(BadInput, match="--pixels"):
        files.pixels_of(text)


def test_pixel_values_are_parsed():
    assert files.pixels_of("-1:1") == (-1.0, 1.0)


def test_a_model_is_saved_whole_or_not_at_all(tmp_path):
    source = tmp_path / "model.tflite"
    source.write_bytes(b"float")
    with pytest.raises(BadInput, match="is the model itself"):
        files.save(b"int8", source, source)
    with pytest.raises(BadInput, match="is a folder"):
        files.save(b"int8", tmp_path, source)
    with pytest.raises(BadInput, match="cannot be written"):
        files.save(b"int8", source / "below" / "out.tflite", source)
    files.save(b"int8", tmp_path / "new" / "out.tflite", source)
    assert (tmp_path / "new" / "out.tflite").read_bytes() == b"int8"
    assert source.read_bytes() == b"float"
    assert [p.name for p in tmp_path.rglob("*part*")] == []
