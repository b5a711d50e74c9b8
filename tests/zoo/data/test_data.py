"""`zoo data`: databases written, averaged, looked into; what is refused or left out."""

import errno
import json

import cv2
import lmdb
import numpy as np
import pytest

import prototxt
import runtime
from prototxt.errors import ZooError
from prototxt.records import LMDBRecords
from zoo.data import build as builder
from zoo.data.lists import from_list, listed


@pytest.fixture
def photographs(tmp_path):
    """Two classes of two pictures each, of different sizes."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for number, name in enumerate(["cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (20 + number, 30, 3), np.uint8))
    return folder


def records(path):
    database = LMDBRecords(path)
    return [(key.decode(), *database.image(i)) for i, key in enumerate(database.keys)]


def test_folders_are_classes_and_keys_are_caffes(zoo, photographs, tmp_path):
    result = zoo("data", "build", photographs, "out.lmdb", "--size", "16x12", "--json").json
    assert result == {
        "database": "out.lmdb",
        "records": 4,
        "resumed": 0,
        "skipped": 0,
        "warnings": [],
    }
    found = records(tmp_path / "out.lmdb")
    assert [key for key, _, _ in found] == [
        "00000000_cat/a.png",
        "00000001_cat/b.png",
        "00000002_dog/c.png",
        "00000003_dog/d.png",
    ]
    assert [label for _, _, label in found] == [0, 0, 1, 1]
    for (_, array, _), path in zip(found, sorted(photographs.rglob("*.png")), strict=True):
        expected = cv2.resize(cv2.imread(str(path)), (12, 16), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(array, expected.transpose(2, 0, 1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.lmdb", "photos"]


def test_a_list_gives_order_and_labels(zoo, photographs, tmp_path):
    (tmp_path / "list.txt").write_text("dog/d.png 7\n\ncat/a.png -1\n")
    assert zoo("data", "build", photographs, "o.lmdb", "--list", "list.txt").status == 0
    assert [(k, label) for k, _, label in records(tmp_path / "o.lmdb")] == [
        ("00000000_dog/d.png", 7),
        ("00000001_cat/a.png", -1),
    ]


def test_a_seeded_shuffle_is_one_order(photographs):
    first, again, other = (
        [entry.name for entry in listed(photographs, shuffle=seed)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert sorted(first) == [entry.name for entry in listed(photographs)]


@pytest.mark.parametrize("options", [["--encoded"], ["--encoded", "--size", "keep"], ["--gray"]])
def test_other_forms_of_records(zoo, photographs, tmp_path, options):
    assert zoo("data", "build", photographs, "o.lmdb", *options).status == 0
    key, array, _ = records(tmp_path / "o.lmdb")[0]
    image = cv2.imread(str(photographs / "cat/a.png"))
    if "keep" not in options:
        image = cv2.resize(image, (128, 128), interpolation=cv2.INTER_LINEAR)
    if "--gray" in options:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    assert np.array_equal(array, image.transpose(2, 0, 1)), key


def test_mean_and_inspect(zoo, photographs, tmp_path):
    zoo("data", "build", photographs, "o.lmdb", "--size", "8")
    result = zoo("data", "mean", "o.lmdb", "mean.binaryproto", "--json").json
    images = [runtime.resize(runtime.read_image(p), 8, 8) for p in photographs.rglob("*.png")]
    expected = np.stack(images).astype(np.float64).mean(0).transpose(2, 0, 1)
    found = prototxt.read_binaryproto(tmp_path / "mean.binaryproto")
    assert np.allclose(found, expected, atol=1e-4)
    assert result["shape"] == [3, 8, 8]
    said = zoo("data", "inspect", "o.lmdb", "--json").json
    assert (said["records"], said["shapes"]) == (4, {"3x8x8": 4})
    assert (said["labels"], said["label_range"]) == (2, [0, 1])
    assert said["channel_means"] == pytest.approx(expected.mean((1, 2)), abs=1e-3)
    assert "3x8x8: 4" in zoo("data", "inspect", "o.lmdb").out


def test_a_broken_picture_is_left_out_counted_and_named(zoo, photographs, tmp_path):
    (photographs / "cat/b.png").write_bytes(b"\x89PNG and nothing more")
    run = zoo("data", "build", photographs, "o.lmdb", "--json")
    assert (run.json["records"], run.json["skipped"]) == (3, 1)
    assert run.json["warnings"] == ["cat/b.png: left out: not an image, or a broken one"]
    assert [k[:8] for k, _, _ in records(tmp_path / "o.lmdb")] == [
        "00000000",
        "00000002",
        "00000003",
    ]


def test_only_broken_pictures_leave_nothing(zoo, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/x.jpg").write_bytes(b"no picture")
    assert (
        "o.lmdb: none of the 1 images can be read: "
        in zoo("data", "build", "bad", "o.lmdb").refusal
    )
    assert [p.name for p in tmp_path.iterdir()] == ["bad"]


def test_nothing_is_overwritten(zoo, photographs, tmp_path):
    (tmp_path / "o.lmdb").mkdir()
    assert zoo("data", "build", photographs, "o.lmdb").refusal == (
        "o.lmdb: is there already; name another, or remove it"
    )


def test_an_interrupted_build_goes_on(zoo, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "COMMIT_EVERY", 2)
    entries = listed(photographs)

    def stop_at_the_third(done, total):
        assert total == 4
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder.build(entries, tmp_path / "o.lmdb", on_progress=stop_at_the_third)
    assert not (tmp_path / "o.lmdb").exists() and (tmp_path / "o.lmdb.partial").is_dir()
    refusal = zoo("data", "build", photographs, "o.lmdb", "--gray").refusal
    assert refusal == "o.lmdb.partial: is of another build; remove it to start anew"
    result = zoo("data", "build", photographs, "o.lmdb", "--json").json
    assert (result["records"], result["resumed"]) == (4, 2)
    zoo("data", "build", photographs, "whole.lmdb")
    for ours, whole in zip(
        records(tmp_path / "o.lmdb"), records(tmp_path / "whole.lmdb"), strict=True
    ):
        assert ours[0] == whole[0] and np.array_equal(ours[1], whole[1])


def test_a_build_that_ends_before_anything_is_written_leaves_nothing(photographs, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder.build(listed(photographs), tmp_path / "o.lmdb", on_progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_what_is_left_of_a_database_before_its_first_records_is_no_obstacle(zoo, photographs):
    entries = listed(photographs)
    partial = photographs.parent / "o.lmdb.partial"
    partial.mkdir()
    state = builder.fingerprint(entries, (128, 128), False, False)
    (partial / builder.STATE).write_text(json.dumps(state))
    (partial / builder.DATABASE).mkdir()
    (partial / builder.DATABASE / "data.mdb").write_bytes(bytes(100))
    result = zoo("data", "build", photographs, "o.lmdb", "--json").json
    assert (result["records"], result["resumed"]) == (4, 0)


def test_two_processes_do_not_build_one_database(zoo, photographs, tmp_path):
    partial = tmp_path / "o.lmdb.partial"
    with builder.taken(partial, tmp_path / "o.lmdb"):
        assert zoo("data", "build", photographs, "o.lmdb").refusal == (
            "o.lmdb: another process builds it; wait for that one"
        )
        assert partial.is_dir()
    assert zoo("data", "build", photographs, "o.lmdb").status == 0
    assert not partial.exists()


def test_a_full_disk_is_told(zoo, photographs, tmp_path, monkeypatch):
    def full(*_, **__):
        raise lmdb.DiskError("mdb_env_open: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lmdb, "open", full)
        refusal = zoo("data", "build", photographs, "o.lmdb").refusal
    assert refusal == "o.lmdb: cannot be written: No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]

    write = builder.write

    def full_at_the_second(database, rows):
        if database.stat()["entries"]:
            full()
        write(database, rows)

    with monkeypatch.context() as patch:
        patch.setattr(builder, "COMMIT_EVERY", 3)
        patch.setattr(builder, "write", full_at_the_second)
        assert zoo("data", "build", photographs, "o.lmdb").refusal == (
            "o.lmdb: cannot be written: No space left on device; "
            "what is done stays in o.lmdb.partial; the same command goes on with it"
        )
    assert zoo("data", "build", photographs, "o.lmdb", "--json").json["resumed"] == 3

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prototxt, "atomic_write", no_space)
    assert "No space left on device" in zoo("data", "build", photographs, "p.lmdb").refusal
    assert not (tmp_path / "p.lmdb.partial").exists()


def test_a_database_grows_as_it_needs_to(photographs, tmp_path, monkeypatch):
    """LMDB takes addresses for all that a database may grow to, which may be scarce."""
    monkeypatch.setattr(builder, "FIRST_SIZE", 1 << 16)
    monkeypatch.setattr(builder, "COMMIT_BYTES", 1)
    builder.build(listed(photographs), tmp_path / "o.lmdb", (200, 200))
    assert [array.shape for _, array, _ in records(tmp_path / "o.lmdb")] == [(3, 200, 200)] * 4
    assert [path.name for path in (tmp_path / "o.lmdb").iterdir()] == ["data.mdb"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "none", "o.lmdb"], "none: "),
        (["build", "empty", "o.lmdb"], "empty: "),
        (["build", "empty", "o.lmdb", "--list", "l.txt"], "l.txt:1:1: 'only-a-path' is not"),
        (["build", "empty", "o.lmdb", "--list", "nolist.txt"], "nolist.txt: no such file"),
        (["mean", "empty", "m.binaryproto"], "empty: not an LMDB folder"),
        (["inspect", "empty"], "empty: not an LMDB folder"),
        (["inspect", "void.lmdb"], "void.lmdb: the database is empty"),
        (["inspect", "torn.lmdb"], "torn.lmdb: cannot be read as an LMDB"),
    ],
)
def test_bad_input(zoo, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "l.txt").write_text("only-a-path\n")
    lmdb.open(str(tmp_path / "void.lmdb")).close()
    (tmp_path / "torn.lmdb").mkdir()
    (tmp_path / "torn.lmdb/data.mdb").write_bytes(b"torn" * 4096)
    assert zoo("data", *arguments).refusal.startswith(message)
    assert not (tmp_path / "o.lmdb").exists() and not (tmp_path / "m.binaryproto").exists()


def test_images_of_several_sizes_have_no_mean(zoo, photographs, tmp_path):
    zoo("data", "build", photographs, "o.lmdb", "--size", "keep")
    assert (
        "record '00000001_cat/b.png' is 3x21x30, the first is 3x20x30"
        in zoo("data", "mean", "o.lmdb", "m.binaryproto").refusal
    )


@pytest.mark.parametrize("label", ["---2", "²", "1" * 5000, "", "1.5"])
def test_labels_that_are_no_numbers(tmp_path, label):
    path = tmp_path / "list.txt"
    path.write_text(f"a.png {label}\n", encoding="utf-8")
    with pytest.raises(ZooError, match="is not a path and a label"):
        from_list(tmp_path, path)
