"""Models and solver states that Caffe stores as HDF5 (`snapshot_format: HDF5`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import converters
import prototxt
from prototxt import FormatError


def write(path: Path, fill: Callable[[Any], object]) -> Path:
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def model(path: Path, blobs: dict[str, np.ndarray], groups: tuple[str, ...] = ()) -> Path:
    """A file as Net::ToHDF5 writes it: a group a layer, a dataset a blob that it owns."""

    def fill(file: Any) -> None:
        for name in groups:
            file.create_group(f"data/{name}")
        for name, array in blobs.items():
            file[f"data/{name}"] = array

    return write(path, fill)


def test_the_blobs_of_each_layer(tmp_path: Path) -> None:
    weight = np.arange(24, dtype="f4").reshape(2, 3, 2, 2)
    stored = {"inception/1x1/0": weight, "inception/1x1/1": np.array([5, 6], "f4")}
    path = model(tmp_path / "w.caffemodel.h5", stored, groups=("data", "relu"))
    found = prototxt.read_weights(path)
    assert list(found) == ["inception/1x1"]
    first, second = found["inception/1x1"]
    assert first.dtype == np.float32 and np.array_equal(first, weight)
    assert second.tolist() == [5, 6]


def test_ten_blobs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = model(tmp_path / "w.h5", {f"rnn/{i}": np.full(1, i, "f4") for i in range(11)})
    assert [blob.item() for blob in prototxt.read_weights(path)["rnn"]] == list(range(11))


def test_views_are_of_the_file_itself(tmp_path: Path) -> None:
    path = model(tmp_path / "w.h5", {"a/0": np.arange(6, dtype="f4")})
    (blob,) = prototxt.read_weights(path, views=True)["a"]
    assert not blob.flags.writeable and blob.tolist() == [0, 1, 2, 3, 4, 5]


def test_doubles_and_compressed_numbers(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["data/a/0"] = np.array([1.5, 2.5], "f8")
        file.create_dataset("data/a/1", data=np.zeros(5000, "f4"), compression="gzip")

    first, second = prototxt.read_weights(write(tmp_path / "w.h5", fill))["a"]
    assert first.dtype == np.float32 and first.tolist() == [1.5, 2.5]
    assert second.shape == (5000,) and not second.any()


NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "one" type: "InnerProduct" bottom: "x" top: "one" param { PARAM } param { BIAS }
  inner_product_param { num_output: 2 } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { PARAM } param { BIAS }
  inner_product_param { num_output: 2 } }
"""


@pytest.mark.parametrize(
    ("weight", "bias", "second"),
    [
        ('name: "w"', "", {"two/1": [3, 4]}),
        ("", 'name: "b"', {"two/0": [[1, 2], [3, 4]]}),
        ('name: "w"', 'name: "b"', {}),
    ],
    ids=["weight", "bias", "both"],
)
def test_shared_blobs_are_stored_once(tmp_path: Path, weight: str, bias: str, second: Any) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(NET.replace("PARAM", weight).replace("BIAS", bias))
    own = {"one/0": [[5, 6], [7, 8]], "one/1": [1, 2]}
    stored = {name: np.array(blob, "f4") for name, blob in {**own, **second}.items()}
    path = model(tmp_path / "w.caffemodel.h5", stored, groups=("two",))
    graph = converters.load_graph(net, path)
    one, two = graph.nodes
    assert two.blobs[0].tolist() == second.get("two/0", own["one/0"])
    assert two.blobs[1].tolist() == second.get("two/1", own["one/1"])
    assert one.blobs[0].tolist() == own["one/0"]


def test_a_blob_that_is_missing_and_not_shared(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(NET.replace("PARAM", "").replace("BIAS", ""))
    ones = np.ones((2, 2), "f4")
    for blobs, message in (
        ({"one/0": ones, "two/0": ones}, "the caffemodel has 1 blobs for it, the prototxt asks"),
        ({"one/1": np.ones(2, "f4"), "two/0": ones}, "the caffemodel has no weight for it"),
    ):
        with pytest.raises(converters.ConversionError, match=message):
            converters.load_graph(net, model(tmp_path / "w.h5", blobs))


def unfilled(file: Any) -> None:
    file.create_dataset("data/a/0", (1 << 40,), "f4", chunks=(1 << 20,))


def outside(file: Any) -> None:
    file.create_dataset("data/a/0", (2,), "f4", external=[("other", 0, 8)])


def integers(file: Any) -> None:
    file["data/a/0"] = np.arange(3)


def rows(file: Any) -> None:
    file["data"] = np.zeros((3, 1), "f4")


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (unfilled, "layer 'a': blob 0: its numbers are not in this file"),
        (outside, "layer 'a': blob 0: its numbers are not in this file"),
        (integers, "layer 'a': blob 0: int64 values, not floats"),
        (rows, "no weights in this HDF5 file; they are datasets data/LAYER/INDEX"),
    ],
)
def test_what_is_no_model(tmp_path: Path, fill: Callable[[Any], object], message: str) -> None:
    path = write(tmp_path / "w.h5", fill)
    with pytest.raises(FormatError) as error:
        prototxt.read_weights(path)
    assert str(error.value) == f"{path}: {message}"


def test_every_way_of_being_cut_short_is_one_line(tmp_path: Path) -> None:
    whole = model(tmp_path / "w.h5", {"a/0": np.ones(300, "f4")}).read_bytes()
    for length in range(8, len(whole), 97):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"cut\.h5: ") as error:
            prototxt.read_weights(path)
        assert "\n" not in str(error.value)


def state(file: Any) -> None:
    file["iter"] = np.array([20], "i4")
    file["current_step"] = np.array([2], "i4")
    file["learned_net"] = "net_iter_20.caffemodel.h5"
    for index in range(11):
        file[f"history/{index}"] = np.full((2, 1), index, "f4")


def test_a_solver_state(tmp_path: Path) -> None:
    found = prototxt.read_solverstate(write(tmp_path / "s.solverstate.h5", state))
    assert (found.iter, found.current_step) == (20, 2)
    assert found.learned_net == "net_iter_20.caffemodel.h5"
    assert [blob[0, 0] for blob in found.history] == list(range(11))
    assert found.history[0].shape == (2, 1)


def test_what_is_no_solver_state(tmp_path: Path) -> None:
    def gap(file: Any) -> None:
        state(file)
        del file["history/3"]

    def no_iteration(file: Any) -> None:
        state(file)
        del file["iter"]

    with pytest.raises(FormatError, match="its history is not numbered from 0"):
        prototxt.read_solverstate(write(tmp_path / "gap.h5", gap))
    with pytest.raises(FormatError, match="not a solverstate: there is no iter in it"):
        prototxt.read_solverstate(write(tmp_path / "none.h5", no_iteration))
