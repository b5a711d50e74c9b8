"""Binary files: written by hand byte for byte, written by us, and damaged in every way."""

from __future__ import annotations

import dataclasses
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prototxt
from prototxt import Datum, FormatError, SolverState


def field(number: int, data: bytes | int | float) -> bytes:
    """One protobuf field: bytes are length-delimited, ints varints, floats fixed32."""
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    if isinstance(data, float):
        return varint(number << 3 | 5) + struct.pack("<f", data)
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def shape(*dims: int) -> bytes:
    return field(7, field(1, b"".join(varint(d) for d in dims)))


def layer(*blobs: bytes, name: bytes = b"c") -> bytes:
    body = field(1, name) + field(2, b"Convolution") + b"".join(field(7, b) for b in blobs)
    return field(100, body)


def read(tmp_path: Path, data: bytes) -> dict[str, list[np.ndarray]]:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(data)
    return prototxt.read_weights(path)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("kind", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_nvidias_raw_numbers(tmp_path: Path, kind: int, dtype: str, exact: bool) -> None:
    """Fields 10 to 13 of NVIDIA's caffe.proto: type, diff's type, numbers and diff as bytes."""
    raw = np.array([1.5, -0.1, 65504, 6e-8], dtype)
    blob = shape(2, 2) + field(10, kind) + field(11, 2) + field(12, raw.tobytes()) + field(13, b"d")
    other = shape(1) + (field(5, 2.0) if exact else field(5, floats(2)))  # one by one: the library
    found = read(tmp_path, layer(blob, other))["c"]
    assert found[0].dtype == np.float32
    assert np.array_equal(found[0], raw.reshape(2, 2).astype(np.float32))
    assert found[1].tolist() == [2]


@pytest.mark.parametrize(
    ("blob", "match"),
    [
        (field(10, 2) + field(12, bytes(6)), "blob 0: 6 bytes of float16 for a shape of 2x2"),
        (field(10, 3) + field(12, bytes(16)), "raw_data_type is 3, not DOUBLE"),
        (field(12, bytes(16)), "raw_data_type is missing, not DOUBLE"),
    ],
)
def test_raw_numbers_that_are_none(tmp_path: Path, blob: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        read(tmp_path, layer(shape(2, 2) + blob))


def test_packed(tmp_path: Path) -> None:
    (blob,) = read(tmp_path, layer(shape(2, 1) + field(5, floats(1, 2))))["c"]
    assert blob.dtype == np.float32
    assert blob.tolist() == [[1], [2]]


def test_not_packed(tmp_path: Path) -> None:
    (blob,) = read(tmp_path, layer(shape(2) + field(5, 1.0) + field(5, 2.0)))["c"]
    assert blob.tolist() == [1, 2]


def test_packed_in_pieces(tmp_path: Path) -> None:
    pieces = field(5, floats(1)) + field(5, floats(2, 3))
    assert read(tmp_path, layer(shape(3) + pieces))["c"][0].tolist() == [1, 2, 3]


def test_doubles(tmp_path: Path) -> None:
    data = field(8, struct.pack("<2d", 1.5, 2.5))
    assert read(tmp_path, layer(shape(2) + data))["c"][0].tolist() == [1.5, 2.5]


def test_legacy_shape_of_a_v1_layer(tmp_path: Path) -> None:
    dims = field(1, 1) + field(2, 1) + field(3, 1) + field(4, 2)
    body = field(4, b"old") + field(5, 42) + field(6, dims + field(5, floats(1, 2)))
    path = tmp_path / "w"
    path.write_bytes(field(2, body))
    (found,) = prototxt.read_model(path)
    assert (found.name, found.type, found.blobs[0].shape) == ("old", "Unpooling", (1, 1, 1, 2))


def test_c3d_has_a_length_among_the_dimensions(tmp_path: Path) -> None:
    """C3D-v1.0's caffe.proto: num, channels, length, height, width are 1 to 5, data is 6."""
    dims = b"".join(field(number, size) for number, size in enumerate((2, 1, 3, 1, 2), 1))
    numbers = np.arange(12, dtype="<f4")
    body = field(4, b"c") + field(5, 30) + field(6, dims + field(6, numbers.tobytes()))
    path = tmp_path / "w"
    path.write_bytes(field(2, body))
    (found,) = prototxt.read_model(path)
    assert (found.type, found.blobs[0].shape) == ("Convolution3D", (2, 1, 3, 1, 2))
    assert found.blobs[0].ravel().tolist() == numbers.tolist()
    short = field(4, b"c") + field(5, 30) + field(6, dims + field(6, numbers[:11].tobytes()))
    path.write_bytes(field(2, short))
    with pytest.raises(FormatError, match="11 numbers for a shape of 2x1x3x1x2"):
        prototxt.read_model(path)


def test_v0_layer(tmp_path: Path) -> None:
    blob = field(1, 1) + field(2, 1) + field(3, 1) + field(4, 1) + field(5, floats(9))
    inner = field(1, b"old") + field(2, b"conv") + field(50, blob)
    path = tmp_path / "w"
    path.write_bytes(field(2, field(1, inner)))
    (found,) = prototxt.read_model(path)
    assert (found.name, found.type, found.blobs[0].item()) == ("old", "Convolution", 9)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a caffemodel: the file is empty"),
        (b"name: 'net'\n", "not a caffemodel: it is a text file; is it the prototxt?"),
        (b"\xff\xff\xff\xff", "not a caffemodel, or cut short: 4 bytes do not parse"),
        (
            layer(shape(2) + field(5, floats(1, 2)))[:-3],
            "not a caffemodel, or cut short: 33 bytes do not parse",
        ),
        (field(1, b"n"), "not a caffemodel: there are no layers in it"),
        (
            layer(shape(3) + field(5, floats(1, 2))),
            "layer 'c': blob 0: 2 numbers for a shape of 3 (3); the file is damaged",
        ),
        (
            layer(shape(2**31, 2**31) + field(5, floats(1))),
            "layer 'c': blob 0: a shape of 2 axes, up to 2147483648 long; Caffe has at most 32, "
            "below 2^31; the file is damaged",
        ),
        (
            layer(shape(*[1] * 100) + field(5, floats(1))),
            "layer 'c': blob 0: a shape of 100 axes, up to 1 long; Caffe has at most 32, "
            "below 2^31; the file is damaged",
        ),
        (
            layer(shape(0, *[2**31 - 1] * 3)),
            "layer 'c': blob 0: no numbers for a shape of 0x2147483647x2147483647x2147483647; "
            "the file is damaged",
        ),
        (
            layer(shape(2) + field(5, b"123")),
            "not a caffemodel, or cut short: 31 bytes do not parse",
        ),
        (
            layer(shape(2**64 - 1) + field(5, floats(1))),
            "layer 'c': blob 0: negative dimension in its shape -1",
        ),
    ],
)
def test_damaged(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(tmp_path, data)
    assert str(caught.value) == f"{tmp_path / 'w.caffemodel'}: {message}"


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w"
        path.write_bytes(data)
        try:
            prototxt.read_weights(path)
        except FormatError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("v1", [False, True])
def test_weights_come_back(tmp_path: Path, v1: bool) -> None:
    weights = {
        "a": [np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)],
        "b": [np.ones((1, 1, 1, 2))],
    }
    path = tmp_path / "w.caffemodel"
    prototxt.write_weights(path, weights, {"a": "Convolution", "b": "Unpooling"}, "net", v1=v1)
    model = prototxt.read_model(path)
    assert [(x.name, x.type) for x in model] == [("a", "Convolution"), ("b", "Unpooling")]
    for found in model:
        assert np.array_equal(found.blobs[0], weights[found.name][0])
    assert [p.name for p in tmp_path.iterdir()] == ["w.caffemodel"]


def test_scalar_blob(tmp_path: Path) -> None:
    prototxt.write_weights(tmp_path / "w", {"p": [np.array(0.25)]})
    (blob,) = prototxt.read_weights(tmp_path / "w")["p"]
    assert blob.shape == () and blob == 0.25


def test_mean(tmp_path: Path) -> None:
    mean = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    prototxt.write_binaryproto(tmp_path / "m", mean)
    assert np.array_equal(prototxt.read_binaryproto(tmp_path / "m"), mean)


def test_solverstate(tmp_path: Path) -> None:
    state = SolverState(7, "w.caffemodel", [np.ones((2, 3), np.float32)], 1)
    prototxt.write_solverstate(tmp_path / "s", state)
    found = prototxt.read_solverstate(tmp_path / "s")
    assert (found.iter, found.learned_net, found.current_step) == (7, "w.caffemodel", 1)
    assert np.array_equal(found.history[0], state.history[0])
    assert found.losses == []


def test_a_solverstate_beside_a_model_of_any_name_with_the_losses_that_are_smoothed(tmp_path):
    plain = SolverState(7, "w.caffemodel", [np.ones(3, np.float32)], 1)
    prototxt.write_solverstate(tmp_path / "plain", plain)
    state = dataclasses.replace(plain, learned_net=os.fsdecode(b"caf\xff"), losses=[0.1, 1e-300])
    prototxt.write_solverstate(tmp_path / "s", state)
    found = prototxt.read_solverstate(tmp_path / "s")
    assert (found.learned_net, found.losses) == (state.learned_net, state.losses)
    # To Caffe a field that it passes by: the rest is the same to the byte.
    same = dataclasses.replace(state, learned_net=plain.learned_net)
    prototxt.write_solverstate(tmp_path / "s", same)
    assert (tmp_path / "s").read_bytes().startswith((tmp_path / "plain").read_bytes())


@pytest.mark.parametrize(
    "array", [np.arange(12, dtype=np.uint8).reshape(3, 2, 2), np.ones((1, 2, 2), np.float32)]
)
def test_datum(array: np.ndarray) -> None:
    found = prototxt.parse_datum(prototxt.serialize_datum(Datum(array, b"", 5)))
    assert found.label == 5
    assert found.array is not None and found.array.dtype == array.dtype
    assert np.array_equal(found.array, array)


def test_encoded_datum() -> None:
    found = prototxt.parse_datum(prototxt.serialize_datum(Datum(None, b"jpeg", 2)))
    assert (found.array, found.encoded, found.label) == (None, b"jpeg", 2)


def test_nothing_is_left_when_it_cannot_be_written(tmp_path: Path) -> None:
    def broken(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(FormatError, match="cannot be written: No space left on device"):
        prototxt.atomic_write(tmp_path / "x", broken)
    with pytest.raises(FormatError, match="cannot be written: there is no folder"):
        prototxt.atomic_write(tmp_path / "gone" / "x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_all_of_caffes_own(shared: Path) -> None:
    files = sorted((shared / "caffe").rglob("*.caffemodel"))
    assert len(files) > 100
    assert all(prototxt.read_weights(f) for f in files if "loss" not in str(f))
    (state, *_) = sorted((shared / "caffe/solvers").rglob("*.solverstate"))
    assert prototxt.read_solverstate(state).iter == 8
    mean = prototxt.read_binaryproto(shared / "caffe/training/adagrad_8_8_8/mean.binaryproto")
    assert mean.shape == (3, 128, 128)
