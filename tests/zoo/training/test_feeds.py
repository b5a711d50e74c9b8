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

GOLDENS = Path(__file__).parents[2] / "goldens" / "training"
CASES = sorted(p.parent for p in GOLDENS.glob("*/data.h5"))


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_hdf5_trainings_from_their_own_files(zoo, case, tmp_path):
    shutil.copytree(case, tmp_path / "case")
    weights = tmp_path / "case" / "initial.caffemodel"
    run = zoo("train", "case/solver.prototxt", "--weights", weights, "--device", "cpu", "--json")
    with np.load(case / "io.npz") as io:
        assert run.json["loss"] == pytest.approx(float(io["last_subbatch_loss"][-1]), rel=1e-5)
    assert run.json["snapshot"] is None  # snapshot_after_train: false


@pytest.mark.slow
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

    from prototxt.records import LMDBRecords

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
        f"looked in the current folder and in {tmp_path}; give data for another"
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
    assert feed.period == 0
    feed, _ = source_of(tmp_path, "crop_size: 3", "TEST")
    assert feed.period == 1
    assert np.array_equal(feed(0)["data"][0], image[:, 1:4, 1:4])


def test_mirroring_is_of_half_the_rows_and_after_the_mean(tmp_path):
    image = np.arange(8, dtype=np.uint8).reshape(1, 2, 4)
    mean = np.arange(8, dtype=np.float32)[::-1].reshape(1, 2, 4).copy()
    prototxt.write_binaryproto(tmp_path / "mean", mean)
    feed, _ = source_of(tmp_path, 'mirror: true mean_file: "mean" scale: 2', "TRAIN", image)
    assert feed.period == 0
    straight = (image - mean) * 2
    rows = [row for number in range(50) for row in feed(number)["data"]]
    turned = [np.array_equal(row, straight[:, :, ::-1]) for row in rows]
    assert all(t or np.array_equal(row, straight) for t, row in zip(turned, rows, strict=True))
    assert 30 < sum(turned) < 70


def test_batches_come_again(tmp_path):
    """Three images in twos: the fourth batch is the first."""
    feed, _ = source_of(tmp_path, "scale: 0.5", "TRAIN", *(ramp(n, 4) for n in range(3)))
    assert feed.period == 3
    first = [feed(number)["data"] for number in range(3)]
    assert not any(np.array_equal(first[0], other) for other in first[1:])
    assert all(np.array_equal(feed(3 + n)["data"], batch) for n, batch in enumerate(first))


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
    assert feed.period == (2 if shuffle == "false" else 0)
    assert np.array_equal(batch["data"][:, 0, 0, 0], batch["label"] * 10)
    assert (batch["one"] == 7).all()


def refusal_of(folder: Path, net: str, batches: int = 1) -> str:
    """What layers_feed says of a network that is written beside its (unwritten) solver."""
    from zoo.training.feeds import layers_feed

    definition = prototxt.parse_net(net, "net.prototxt").select("TRAIN")
    with pytest.raises(ZooError) as caught:
        feed, _ = layers_feed(definition, folder / "solver.prototxt")
        for number in range(batches):
            feed(number)
    return str(caught.value)


def test_transformations_that_do_not_fit(tmp_path):
    """Also an image in the midst of a database, long after the first."""
    database(tmp_path / "db", ramp(1), ramp(2), ramp(3, 5), ramp(4, 2))
    prototxt.write_binaryproto(tmp_path / "mean", np.zeros((1, 4, 4)))

    def refused(transform: str, batches: int = 1) -> str:
        net = NET.replace("scale: 0.5 mean_value: 1", transform)
        return refusal_of(tmp_path, net, batches).replace(str(tmp_path), "")

    both = refused('mean_file: "mean" mean_value: 1')
    assert both == "net.prototxt:3:1: layer 'data': mean_file and mean_value exclude each other"
    channels = refused("mean_value: 1 mean_value: 2 mean_value: 3")
    assert channels == "/db: its images are 1x4x4, the mean is 3x1x1"
    mean = refused('mean_file: "mean" crop_size: 2', 2)
    assert mean == "/db: its images are 1x5x5, the mean is 1x4x4"
    small = refused("crop_size: 3", 2)
    assert small == "net.prototxt:3:1: layer 'data': crop_size 3 is more than /db's 1x2x2"
    forced = refused("force_color: true force_gray: true")
    assert forced.endswith("layer 'data': force_color and force_gray exclude each other")


@pytest.mark.parametrize(
    ("force", "first", "second"),
    [("", 3, 1), ("force_color: true", 3, 3), ("force_gray: true", 1, 1)],
)
def test_encoded_images_are_decoded_as_they_are_or_as_forced(tmp_path, force, first, second):
    import cv2

    from zoo.training.feeds import LayerSource

    colour = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    pictures = [colour, cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)]
    with lmdb.open(str(tmp_path / "db")) as opened, opened.begin(write=True) as transaction:
        for key, picture in zip((b"a", b"b"), pictures, strict=True):
            data = cv2.imencode(".png", picture)[1].tobytes()
            transaction.put(key, prototxt.serialize_datum(Datum(None, data, 7)))
    net = NET.replace("scale: 0.5 mean_value: 1", force)
    layer = prototxt.parse_net(net).layers[0]
    source = LayerSource(layer, tmp_path / "solver.prototxt", None, True, 0)
    rows = [source.records.row(n)[0] for n in range(2)]
    assert [len(row) for row in rows] == [first, second]
    assert np.array_equal(rows[1], np.broadcast_to(pictures[1], rows[1].shape))
    data = cv2.imencode(".png", colour)[1]
    gray = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)[None]
    assert np.array_equal(rows[0], gray if first == 1 else colour.transpose(2, 0, 1))
    if first != second:
        assert "record 'b' is 1x4x4, the first is 3x4x4" in refusal_of(tmp_path, net)


def test_images_of_a_list_lie_beside_the_solver_too(tmp_path, monkeypatch):
    """In gray, as they are decoded and not as their colours are mixed."""
    import cv2

    from zoo.training.feeds import layers_feed

    (tmp_path / "case" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    for name in ("a", "b"):
        cv2.imwrite(f"case/photos/{name}.jpg", picture)
    (tmp_path / "case" / "list.txt").write_text("a.jpg 0\nb.jpg 1\n")
    text = IMAGES.replace("SHUFFLE", "false is_color: false")
    net = prototxt.parse_net(text).select("TRAIN")
    feed, shapes = layers_feed(net, tmp_path / "case" / "solver.prototxt")
    gray = cv2.imread("case/photos/a.jpg", cv2.IMREAD_GRAYSCALE)
    assert shapes["data"] == (2, 1, 4, 6)
    assert np.array_equal(feed(0)["data"][0, 0], cv2.resize(gray, (6, 4)))


def test_lists_of_images_that_make_no_sense(tmp_path):
    import cv2

    (tmp_path / "photos").mkdir()
    for number, side in enumerate((4, 5)):
        cv2.imwrite(str(tmp_path / f"photos/{number}.png"), np.zeros((side, side, 3), np.uint8))
    (tmp_path / "photos" / "2.png").write_text("nothing")
    net = IMAGES.replace("SHUFFLE", "false")
    plain = net.replace("new_height: 4 new_width: 6", "")
    for names, text, message in (
        ("0", net.replace("new_width: 6", ""), "new_height and new_width go together"),
        ("01", plain, f"{tmp_path}/photos/1.png is 3x5x5, the first is 3x4x4; a batch takes"),
        ("02", net, f"{tmp_path}/photos/2.png: not an image, or a broken one"),
        ("03", net, f"{tmp_path}/photos/3.png: no such file"),
        ("", net, f"{tmp_path}/list.txt: lists no images"),
        ("0", net.replace('"list.txt"', '""'), "layer 'data' (ImageData): source is missing"),
    ):
        (tmp_path / "list.txt").write_text("".join(f"{n}.png 0\n" for n in names))
        assert message in refusal_of(tmp_path, text)


def test_hdf5_rows_are_not_transformed(tmp_path):
    text = """layer { name: "d" type: "HDF5Data" top: "d"
      hdf5_data_param { source: "list" batch_size: 1 } transform_param { scale: 2 } }
    layer { name: "p" type: "Power" bottom: "d" top: "p" }"""
    (tmp_path / "list").write_text("a.h5\n")
    assert "layer 'd' (HDF5Data): does not transform its rows" in refusal_of(tmp_path, text)


AUGMENTED = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "list.txt" root_folder: "photos/" batch_size: 3 shuffle: true }
  transform_param { crop_size: 6 mirror: true scale: 0.004 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_a_resumed_training_crops_mirrors_and_shuffles_as_before(zoo, tmp_path):
    import cv2

    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(5)
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"photos/{number}.png"), rng.integers(0, 256, (9, 8, 3)))
    (tmp_path / "list.txt").write_text("".join(f"{n}.png {n % 2}\n" for n in range(7)))
    solver = written(tmp_path, AUGMENTED)
    solver.write_text(SOLVER.replace("max_iter: 3", "max_iter: 12 snapshot: 5"))
    assert zoo("train", solver, "--device", "cpu", "-q").status == 0
    whole = (tmp_path / "s_iter_12.caffemodel").read_bytes()
    state = tmp_path / "s_iter_5.solverstate"
    assert zoo("train", solver, "--device", "cpu", "-q", "--resume", state).status == 0
    assert (tmp_path / "s_iter_12.caffemodel").read_bytes() == whole
