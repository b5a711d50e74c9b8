"""The index of a hub: what is written is read again, and everything else is refused."""

import copy
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prototxt import Preprocessing
from zoo.errors import HubError
from zoo.hub import index as schema
from zoo.hub.index import Cost, Entry, File, Index, Metric, Network
from zoo.inspection.onnx_model import Tensor

NETWORK = Network(
    "whole",
    ("cpu",),
    18,
    (Tensor("data", ("batch", 3, "height", "width"), "float32"),),
    (Tensor("image", ("batch", 3, "height", "width"), "float32"),),
)
ENTRY = Entry(
    name="8_8_8",
    version="1.0",
    task="reconstruct",
    files=(File("net.onnx", 5, "ab" * 32, "model", NETWORK), File("card.md", 3, "cd" * 32, "card")),
    arch="8_8_8",
    encoder="random",
    preprocessing=Preprocessing(
        (104.0, 117.0, 123.0), scale=1.0, channel_order="BGR", input_size=(128, 128)
    ),
    metrics=(Metric("rmse", 0.1438, "imagenet-dev", 500),),
    source="https://example.org",
    licence="BSD-2-Clause",
)
PLAIN = json.loads(schema.write(Index((ENTRY,))))
MEANS = "must be one number or three, or null where it is not known"


def precise(file: File, precision: str, cost: Cost | None) -> File:
    return replace(file, network=replace(file.network, precision=precision, cost=cost))


COST = Cost("photos", 16, 0.25, rmse=(0.1438, 0.1441), top1=(0.5, 0.25), same_class=0.75)
NEW = {
    "precision": replace(ENTRY, files=(precise(ENTRY.files[0], "int8", None),)),
    "cost": replace(ENTRY, files=(precise(ENTRY.files[0], "float16", COST),)),
    "signature": replace(ENTRY, files=(*ENTRY.files, File("model.sig", 9, "ef" * 32, "signature"))),
    "mean": replace(ENTRY, preprocessing=replace(ENTRY.preprocessing, mean=None)),
    "datasets": replace(ENTRY, datasets=("imagenet-1k",)),
    "bibtex": replace(ENTRY, bibtex=("@misc{a,", "}")),
}


@pytest.mark.parametrize("what", NEW)
def test_an_index_is_of_the_oldest_schema_that_has_what_it_says(what):
    """Whoever reads schema 1 only is told to update, and reads whatever says nothing new."""
    plain, new = Index((ENTRY,)), Index((NEW[what],))
    assert json.loads(schema.write(plain))["schema"] == 1
    assert json.loads(schema.write(new))["schema"] == 2
    assert schema.read(schema.write(new), "x") == new
    # Of what schema 1 has not, nothing stands in it.
    assert not re.search("precision|cost|datasets|bibtex|signature", schema.write(plain))


def test_precisions():
    files = tuple(precise(ENTRY.files[0], name, None) for name in ("int8", "float32"))
    assert replace(ENTRY, files=files).precisions == ("float32", "int8")


def test_what_is_written_is_read_again():
    index = Index((ENTRY,)).with_entry(Entry("b", "2", "other", ENTRY.files))
    text = schema.write(index)
    assert schema.read(text, "x") == index
    assert schema.read(text.encode(), "x") == index
    assert schema.write(schema.read(text, "x")) == text


def test_an_entry_takes_the_place_of_the_same_version_only():
    index = Index((ENTRY,))
    newer = Entry("8_8_8", "1.10", "reconstruct", ENTRY.files)
    older = Entry("8_8_8", "1.9", "reconstruct", ENTRY.files)
    index = index.with_entry(newer).with_entry(older)
    assert [entry.version for entry in index.versions("8_8_8")] == ["1.0", "1.9", "1.10"]
    assert [entry.version for entry in index.newest()] == ["1.10"]
    again = Entry("8_8_8", "1.9", "classify", ENTRY.files)
    assert index.with_entry(again).versions("8_8_8")[1] is again
    assert len(index.with_entry(again).models) == 3


def test_names_are_sorted_as_people_do():
    index = Index()
    for name in ("16_16_16", "8_8_8", "6_12_24", "net", "64_64_64"):
        index = index.with_entry(Entry(name, "1.0", "reconstruct", ENTRY.files))
    assert index.names() == ("6_12_24", "8_8_8", "16_16_16", "64_64_64", "net")


def change(path: str, value: object) -> dict:
    """The index with one field set; `path` as models.0.name, the value `...` removes it."""
    data = copy.deepcopy(PLAIN)
    *way, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    place = data
    for part in way:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


NOT_PLAIN = "is not a plain name; names have letters, digits and ._+- only, and no folders"
MODEL, FILE = "models.0.", "models.0.files.0."
# Field, what it becomes, what is said of it.
BAD = [
    ("schema", 3, "3 is newer than this tool, which reads 2; update caffe-zoo"),
    ("schema", 0, "must be from 1 to 2, not 0"),
    ("schema", "1", 'must be a whole number, not "1"'),
    ("schema", True, "must be a whole number, not true"),
    ("schema", ..., "is missing"),
    ("models", {}, "must be a list, not {}"),
    ("models.0", [], "must be an object, not []"),
    (MODEL + "name", "../x", f'"../x" {NOT_PLAIN}'),
    (MODEL + "name", "", f'"" {NOT_PLAIN}'),
    (MODEL + "name", "nul", f'"nul" {NOT_PLAIN}'),
    (MODEL + "name", "Gallery", '"Gallery" is a name of the hub\'s own'),
    (MODEL + "name", "index.html", '"index.html" is a name of the hub\'s own'),
    (MODEL + "version", "1/..", 'must be numbers with dots, as 1.0, not "1/.."'),
    (MODEL + "version", "01", 'must be numbers with dots, as 1.0, not "01"'),
    (MODEL + "arch", "8_8", 'must be of the form n1_n2_n3, not "8_8"'),
    (MODEL + "encoder", "x", 'must be random or pretrained or learned, not "x"'),
    (MODEL + "source", "a\x1b[2J", 'has control characters: "a\\u001b[2J"'),
    (MODEL + "licence", "x" * 5000, "is 5000 characters long; at most 4096 are allowed"),
    (MODEL + "files", [], "there is no ONNX file among them"),
    (FILE + "name", "../../etc/x", f'"../../etc/x" {NOT_PLAIN}'),
    (FILE + "name", "/etc/x", f'"/etc/x" {NOT_PLAIN}'),
    (FILE + "name", "..", f'".." {NOT_PLAIN}'),
    (FILE + "name", ".lock", f'".lock" {NOT_PLAIN}'),
    (FILE + "name", "a\\b", f'"a\\\\b" {NOT_PLAIN}'),
    (FILE + "name", "c:x", f'"c:x" {NOT_PLAIN}'),
    (FILE + "name", "a\nb", f'"a\\nb" {NOT_PLAIN}'),
    (FILE + "name", "a\x00", f'"a\\u0000" {NOT_PLAIN}'),
    (FILE + "name", "con.onnx", f'"con.onnx" {NOT_PLAIN}'),
    (FILE + "size", 10 << 30, "10737418240 bytes are more than the 4 GiB allowed"),
    (FILE + "size", 0, "must be a number of bytes, not 0"),
    (FILE + "size", -1, "must be a number of bytes, not -1"),
    (FILE + "size", 1.5, "must be a whole number, not 1.5"),
    (FILE + "sha256", "ab" * 15, f'must be 64 hex digits, not "{"ab" * 15}"'),
    (FILE + "sha256", "ab" * 33, f'must be 64 hex digits, not "{"ab" * 28}...'),
    (FILE + "kind", "exe", 'must be one of model, data, card, signature, not "exe"'),
    (FILE + "network", None, "does not go with kind model"),
    (FILE + "network.targets", ["gpu"], "each must be one of cpu, cuda, portable"),
    (FILE + "network.opset", 0, "must lie between 1 and 1000, not 0"),
    (FILE + "network.inputs.0.shape", [-1], "each dimension must be a number or a symbol"),
    (MODEL + "preprocessing.mean", [1, 2], MEANS),
    (MODEL + "preprocessing.mean", [1e9], MEANS),
    (MODEL + "preprocessing.mean", [True], "must be a number, not true"),
    (FILE + "network.precision", "int4", 'must be one of float32, float16, int8, not "int4"'),
    (FILE + "network.cost", 1, "must be an object, not 1"),
    (MODEL + "datasets", "x", 'must be a list, not "x"'),
    (MODEL + "bibtex", ["a\nb"], 'has control characters: "a\\nb"'),
    (MODEL + "bibtex", ["a"] * 1001, "has 1001 items; at most 1000 are allowed"),
    (MODEL + "preprocessing.size", [0, 1], "must be height and width"),
    (MODEL + "metrics.0.value", 1e5, None),
    (MODEL + "metrics.0.value", 10**400, f"must be a finite number, not 1{'0' * 56}..."),
    (MODEL + "metrics.0.value", None, "must be a number, not null"),
    (MODEL + "metrics.0.images", 0, f"must lie between 1 and {1 << 40}, not 0"),
]


@pytest.mark.parametrize(("path", "value", "said"), BAD, ids=lambda v: str(v)[:30])
def test_what_is_wrong_is_refused(path, value, said):
    text = json.dumps(change(path, value))
    if said is None:
        schema.read(text, "u")
        return
    with pytest.raises(HubError) as caught:
        schema.read(text, "hub/index.json")
    place = re.sub(r"\.(\d+)", r"[\1]", path)
    assert str(caught.value) == f"hub/index.json: {place}: {said}"


OTHERS = [
    ("more", 1, 'the index: unknown field "more"'),
    (MODEL + "more", 1, 'models[0]: unknown field "more"'),
    (FILE + "name", "card.md", "models[0].files: 'card.md' stands there twice"),
    (FILE + "name", "CARD.md", "models[0].files: 'card.md' differs from 'CARD.md' by case only"),
    (MODEL + "files.1.kind", "model", "models[0].files[1].network: does not go with kind model"),
]


@pytest.mark.parametrize(("path", "value", "said"), OTHERS)
def test_what_is_wrong_elsewhere_is_refused(path, value, said):
    with pytest.raises(HubError) as caught:
        schema.read(json.dumps(change(path, value)), "u")
    assert str(caught.value) == f"u: {said}"


TEXTS = [
    ("", "not an index of a hub: Expecting value: line 1 column 1 (char 0)"),
    ("<html>", "not an index of a hub: Expecting value: line 1 column 1 (char 0)"),
    (b"\xff\xfe\x00", "not an index of a hub: 'utf-16-le' codec"),
    ('{"schema": 1, "schema": 1}', "not an index of a hub: a key stands twice in one object"),
    ('{"schema": NaN}', "not an index of a hub: NaN is no number"),
    ("[" * 100_000, "not an index of a hub: nested too deep"),
    ('{"schema": 1' + "0" * 5000 + "}", "not an index of a hub: Exceeds the limit"),
    ("[]", "the index: must be an object, not []"),
    (" " * (schema.LARGEST_INDEX + 1), "larger than the 16 MiB allowed to an index"),
]


@pytest.mark.parametrize(("text", "said"), TEXTS, ids=range(len(TEXTS)))
def test_what_is_no_index_is_refused(text, said):
    with pytest.raises(HubError) as caught:
        schema.read(text, "u")
    assert str(caught.value).startswith(f"u: {said}")


def test_twins_that_differ_by_case_only():
    data = copy.deepcopy(PLAIN)
    data["models"] += [{**PLAIN["models"][0], "name": name} for name in ("net", "Net")]
    with pytest.raises(HubError, match=r"u: models: 'Net@1\.0' differs from 'net@1\.0' by case"):
        schema.read(json.dumps(data), "u")
    data["models"] = [PLAIN["models"][0]] * 2
    with pytest.raises(HubError, match=r"u: models: '8_8_8@1\.0' stands there twice"):
        schema.read(json.dumps(data), "u")


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from([*PLAIN["models"][0], "schema", "models", "x"]), inner),
))  # fmt: skip
def test_any_json_is_an_index_or_one_clear_line(data):
    for value in (data, {"schema": 1, "models": [data]}, {"schema": 1, "models": data}):
        try:
            schema.read(json.dumps(value), "u")
        except HubError as error:
            assert str(error).startswith("u: ")
