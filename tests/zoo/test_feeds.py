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
    """20 iterations of [8,8,8] that Caffe ran on a database that convert_imageset wrote.

    AdaGrad's first steps are signs, so one gradient near zero that rounds the other way moves a
    weight by 0.02: even in float64 the weights end 4e-3 from Caffe's; rounded as Caffe rounds, not.
    """
    from zoo.training.run import convolving_as_caffe, open_solver

    folder = shared / "caffe" / "training" / "adagrad_8_8_8"
    with np.load(folder / "io.npz") as stored:
        io = {k: stored[k] for k in stored.files}
    solver = open_solver(
        folder / "solver.prototxt", weights=folder / "initial.caffemodel", device="cpu"
    )
    sums = solver.feed(0)["data"].sum((1, 2, 3))
    assert np.allclose(sums, io["first_batch_sum"], rtol=1e-5)
    with convolving_as_caffe(True):
        for iteration, loss in enumerate(io["loss"], 1):
            assert solver.step() == pytest.approx(float(loss), rel=1e-4)
            tolerance = {1: 1e-5, 20: 2e-3}.get(iteration)
            if tolerance is not None:
                apart(solver.network.weights(), io, iteration, tolerance)


def apart(
    ours: dict[str, list[np.ndarray]], io: dict[str, np.ndarray], iteration: int, tolerance: float
) -> None:
    """Every blob within `tolerance` of Caffe's after that iteration, in norm."""
    for key in (k for k in io if k.startswith(f"iter{iteration}.")):
        _, layer, index = key.split(".")
        expected = io[key].ravel().astype(np.float64)
        distance = np.linalg.norm(ours[layer][int(index)].ravel() - expected)
        assert distance <= tolerance * max(np.linalg.norm(expected), 1e-6), key


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

    assert refused() == (
        f"{tmp_path}/net.prototxt:3:1: layer 'data' (Data): its source 'db' is not there; "
        f"looked in the current folder and in {tmp_path}; give --data for another"
    )
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
    written(tmp_path, net.replace("scale: 0.5", "crop_size: 5"))
    assert "layer 'data': crop_size 5 is more than" in refused()
    written(tmp_path, net.replace("batch_size: 2", "batch_size: 2 rand_skip: 3"))
    assert "layer 'data': rand_skip is not supported" in refused()


def source_of(tmp_path: Path, transform: str, phase: str, *arrays: np.ndarray):
    from zoo.training.feeds import layers_feed

    if not (tmp_path / "db").exists():
        database(tmp_path / "db", *arrays)
    net = NET.replace("scale: 0.5 mean_value: 1", transform)
    (tmp_path / "n.prototxt").write_text(net)
    definition = prototxt.read_net(tmp_path / "n.prototxt").select(phase)
    return layers_feed(definition, tmp_path / "solver.prototxt", seed=3)


def test_crops_are_random_in_training_and_central_in_tests(tmp_path):
    image = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    feed, shapes = source_of(tmp_path, "crop_size: 3", "TRAIN", image, image + 100)
    assert shapes == {"data": (2, 1, 3, 3)}
    corners = {int(feed(number)["data"][0, 0, 0, 0]) for number in range(60)}
    assert corners == {y * 5 + x for y in range(3) for x in range(3)}
    assert all(np.array_equal(feed(7)["data"], feed(7)["data"]) for _ in range(3))
    feed, _ = source_of(tmp_path, "crop_size: 3", "TEST")
    assert np.array_equal(feed(0)["data"][0], image[:, 1:4, 1:4])


def test_mirroring_is_of_half_the_rows_and_after_the_mean(tmp_path):
    image = np.arange(8, dtype=np.uint8).reshape(1, 2, 4)
    mean = np.arange(8, dtype=np.float32)[::-1].reshape(1, 2, 4).copy()
    prototxt.write_binaryproto(tmp_path / "mean", mean)
    feed, _ = source_of(tmp_path, 'mirror: true mean_file: "mean" scale: 2', "TRAIN", image)
    straight = (image - mean) * 2
    rows = [row for number in range(50) for row in feed(number)["data"]]
    turned = [np.array_equal(row, straight[:, :, ::-1]) for row in rows]
    assert all(t or np.array_equal(row, straight) for t, row in zip(turned, rows, strict=True))
    assert 30 < sum(turned) < 70


def test_images_of_other_sizes_may_be_cropped(tmp_path):
    feed, shapes = source_of(tmp_path, "crop_size: 2", "TRAIN", ramp(1, 4), ramp(2, 6))
    assert shapes == {"data": (2, 1, 2, 2)}
    assert [float(row.mean()) for row in feed(0)["data"]] == [1, 2]


IMAGES = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "list.txt" root_folder: "photos/" batch_size: 2 shuffle: SHUFFLE
    new_height: 4 new_width: 6 } }
layer { name: "one" type: "DummyData" top: "one"
  dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "constant" value: 7 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "one" bottom: "label" top: "loss" }
layer { name: "p" type: "Power" bottom: "data" top: "p" }
"""


@pytest.mark.parametrize("shuffle", ["false", "true"])
def test_lists_of_images_and_dummy_data(tmp_path, monkeypatch, shuffle):
    import cv2

    from zoo.training.feeds import layers_feed

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        cv2.imwrite(f"photos/{number}.png", np.full((9, 9, 3), number * 10, np.uint8))
    (tmp_path / "list.txt").write_text("".join(f"{n}.png {n}\n" for n in range(4)))
    net = prototxt.parse_net(IMAGES.replace("SHUFFLE", shuffle)).select("TRAIN")
    feed, shapes = layers_feed(net, tmp_path / "solver.prototxt")
    assert shapes == {"data": (2, 3, 4, 6), "label": (2,), "one": (2, 3)}
    labels = np.concatenate([feed(n)["label"] for n in range(4)])
    assert sorted(labels[:4]) == sorted(labels[4:]) == [0, 1, 2, 3]
    assert np.array_equal(labels, [0, 1, 2, 3] * 2) == (shuffle == "false")
    batch = feed(0)
    assert np.array_equal(batch["data"][:, 0, 0, 0], batch["label"] * 10)
    assert (batch["one"] == 7).all()
