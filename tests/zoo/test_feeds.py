"""Training from Caffe's own data files: LMDB, HDF5 lists, and what may be wrong with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest

import prototxt
from prototxt import Datum
from prototxt.errors import ZooError

GOLDENS = Path(__file__).parents[1] / "goldens" / "training"
CASES = sorted(p.parent for p in GOLDENS.glob("*/data.h5"))


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_hdf5_trainings_from_their_own_files(zoo, case, tmp_path):
    shutil.copytree(case, tmp_path / "case")
    weights = tmp_path / "case" / "initial.caffemodel"
    run = zoo("train", "case/solver.prototxt", "--weights", weights, "--device", "cpu", "--json")
    with np.load(case / "io.npz") as io:
        assert run.json["loss"] == pytest.approx(float(io["last_subbatch_loss"][-1]), rel=1e-5)
    assert run.json["snapshot"] is None  # snapshot_after_train: false


def test_the_authors_network_from_an_lmdb(shared):
    """20 iterations of [8,8,8] that Caffe ran on a database that convert_imageset wrote."""
    from zoo.training.run import open_solver

    folder = shared / "caffe" / "training" / "adagrad_8_8_8"
    with np.load(folder / "io.npz") as stored:
        io = {k: stored[k] for k in stored.files}
    solver = open_solver(
        folder / "solver.prototxt", weights=folder / "initial.caffemodel", device="cpu"
    )
    sums = solver.feed(0)["data"].sum((1, 2, 3))
    assert np.allclose(sums, io["first_batch_sum"], rtol=1e-5)
    for iteration, loss in enumerate(io["loss"], 1):
        assert solver.step() == pytest.approx(float(loss), rel=1e-4)
        if iteration == 1:
            ours = solver.network.weights()
            for key in (k for k in io if k.startswith("iter1.")):
                _, layer, index = key.split(".")
                expected = io[key].ravel()
                worst = np.abs(ours[layer][int(index)].ravel() - expected).max()
                assert worst <= 1e-5 * max(np.abs(expected).max(), 1e-6)


def database(path: Path, *arrays: np.ndarray) -> Path:
    with lmdb.open(str(path)) as opened, opened.begin(write=True) as transaction:
        for index, array in enumerate(arrays):
            record = prototxt.serialize_datum(Datum(array, b"", index))
            transaction.put(f"{index:08d}".encode(), record)
    return path


NET = """
name: "n"
layer { name: "data" type: "Data" top: "data"
  data_param { source: "db" batch_size: 2 backend: LMDB }
  transform_param { scale: 0.5 mean_value: 1 } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 1 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "data" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 3 snapshot_prefix: "s"\n'


def ramp(value: int, size: int = 4) -> np.ndarray:
    return np.full((1, size, size), value, np.uint8)


def written(folder: Path, net: str = NET) -> Path:
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(SOLVER)
    return folder / "solver.prototxt"


def test_records_follow_each_other_round_and_round(tmp_path):
    from zoo.training.run import open_solver

    database(tmp_path / "db", ramp(3), ramp(5), ramp(7))
    solver = open_solver(written(tmp_path), device="cpu")
    firsts = [solver.feed(i)["data"][:, 0, 0, 0].tolist() for i in range(3)]
    assert firsts == [[1, 2], [3, 1], [2, 3]]  # (3, 5, 7 minus the mean 1) times 0.5


def test_encoded_records(tmp_path):
    import cv2

    from zoo.data.records import LMDBRecords

    picture = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    done, data = cv2.imencode(".png", picture)
    assert done
    with lmdb.open(str(tmp_path / "db")) as opened, opened.begin(write=True) as transaction:
        record = prototxt.serialize_datum(Datum(None, data.tobytes(), 7))
        transaction.put(b"a", record)
    image, label = LMDBRecords(tmp_path / "db").row(0)
    assert np.array_equal(image, picture.transpose(2, 0, 1)) and label == 7


def test_what_may_be_wrong(tmp_path):
    from zoo.training.run import open_solver

    solver = written(tmp_path)

    def refused() -> str:
        with pytest.raises(ZooError) as caught:
            opened = open_solver(solver, device="cpu")
            opened.step()
        return str(caught.value)

    gone = f"{solver}: names 'db', which is not there; looked in the current folder and in "
    assert refused() == gone + str(tmp_path)
    (tmp_path / "db").mkdir()
    assert refused() == f"{tmp_path}/db: not an LMDB folder: there is no data.mdb in it"
    database(tmp_path / "empty")
    written(tmp_path, NET.replace('"db"', '"empty"'))
    assert refused() == f"{tmp_path}/empty: the database is empty"
    database(tmp_path / "mixed", ramp(1), ramp(1, 3))
    net = NET.replace('"db"', '"mixed"')
    written(tmp_path, net)
    assert refused() == (
        f"{tmp_path}/mixed: record '00000001' is 1x3x3, the first is 1x4x4; "
        "a batch takes images of one size"
    )
    written(tmp_path, net.replace("mean_value: 1", 'mean_file: "m"'))
    prototxt.write_binaryproto(tmp_path / "m", np.zeros((1, 9, 9)))
    assert refused() == f"{tmp_path}/mixed: its images are 1x4x4, the mean is 1x9x9"
    written(tmp_path, net.replace("scale: 0.5", "crop_size: 2"))
    assert "crop_size and mirror are not supported in training yet" in refused()
