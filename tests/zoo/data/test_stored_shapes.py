"""A network whose input's size only its training data knows."""

from __future__ import annotations

import h5py
import lmdb
import numpy as np
import pytest

import prototxt

NET = """
name: "n"
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "train_lmdb" batch_size: 2 backend: LMDB } TRANSFORM }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""


def database(path, shape=(3, 10, 12)):
    with lmdb.open(str(path)) as opened, opened.begin(write=True) as transaction:
        datum = prototxt.Datum(np.zeros(shape, np.uint8), b"", 0)
        transaction.put(b"0", prototxt.serialize_datum(datum))


@pytest.mark.parametrize(
    ("transform", "shape"),
    [("", [3, 10, 12]), ("transform_param { crop_size: 8 }", [3, 8, 8])],
)
def test_the_database_says_it(zoo, tmp_path, transform, shape):
    folder = tmp_path / "nets"
    folder.mkdir()
    database(folder / "train_lmdb")
    (folder / "n.prototxt").write_text(NET.replace("TRANSFORM", transform))
    result = zoo("convert", "nets/n.prototxt", "--json").json
    assert result["files"][0]["inputs"][0]["shape"][1:] == shape
    assert any("as the files of layer data hold" in note for note in result["notes"])


def test_a_given_shape_goes_before(zoo, tmp_path):
    database(tmp_path / "train_lmdb")
    (tmp_path / "n.prototxt").write_text(NET.replace("TRANSFORM", ""))
    result = zoo("convert", "n.prototxt", "--shape", "data=1x1x4x4", "--json").json
    assert result["files"][0]["inputs"][0]["shape"] == [1, 1, 4, 4]


def test_without_a_database_it_assumes_and_says_so(zoo, tmp_path):
    (tmp_path / "n.prototxt").write_text(NET.replace("TRANSFORM", ""))
    assumed = "note: input data 3x224x224: size assumed to be that of photographs"
    assert assumed in zoo("convert", "n.prototxt").out
    (tmp_path / "train_lmdb").mkdir()
    (tmp_path / "train_lmdb/data.mdb").write_bytes(b"torn" * 5000)
    assert assumed in zoo("convert", "n.prototxt").out


def test_hdf5_lists_say_it_too(zoo, tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["data"] = np.zeros((4, 7), np.float32)
    (tmp_path / "list.txt").write_text("d.h5\n")
    net = NET.replace('"Data"', '"HDF5Data"').replace('top: "label"', "").replace("TRANSFORM", "")
    net = net.replace('data_param { source: "train_lmdb"', 'hdf5_data_param { source: "list.txt"')
    (tmp_path / "n.prototxt").write_text(net.replace("backend: LMDB", ""))
    result = zoo("convert", "n.prototxt", "--json").json
    assert result["files"][0]["inputs"][0]["shape"][1:] == [7]
