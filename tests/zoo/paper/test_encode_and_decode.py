"""`zoo encode` and `zoo decode`: images as switches and back."""

import shutil
import struct
import zlib

import numpy as np
import onnx
import pytest

import converters
import prototxt
import runtime
from runtime.encoder_decoder import reach_of
from zoo.hub import locate
from zoo.paper import architectures, coding

OLDER = "8_8_8-learned@1.1"
"""A network without tables."""


@pytest.fixture
def photograph(tmp_path):
    """A photograph of 37×50 pixels, no multiple of anything."""
    (_, image), *_ = runtime.sample_images()
    path = tmp_path / "photo.png"
    runtime.write_png(path, image[100:470:10, 0:500:10])
    return path


@pytest.fixture
def ours(published, monkeypatch):
    """The hub of one small network, 2_3_4."""
    monkeypatch.setenv("ZOO_HUB", str(published))
    return published


def by_the_whole(model, image: np.ndarray, multiple: int = 8) -> np.ndarray:
    """What the network whole makes of an image that is padded by its edge, and cut again."""
    height, width = image.shape[:2]
    rows, columns = np.arange(-height % multiple + height), np.arange(-width % multiple + width)
    whole = image[np.minimum(rows, height - 1)][:, np.minimum(columns, width - 1)]
    loaded = runtime.load(model, "cpu")
    mean = runtime.read_mean(loaded.metadata["zoo.mean"])
    blob = runtime.preprocess(whole, mean, whole.shape[:2])[None]
    found = loaded.run({"data": blob})["deconv1_2"][0]
    return runtime.deprocess(found, mean)[:height, :width]


def test_files_without_a_name_lie_in_the_current_folder(zoo, photograph, ours, tmp_path):
    """And a photograph of the same name is not overwritten."""
    before = photograph.read_bytes()
    assert "wrote    photo.switches" in zoo("encode", photograph, "--arch", "2_3_4").out
    assert "wrote photo.decoded.png" in zoo("decode", "photo.switches").out
    assert (tmp_path / "photo.switches").is_file() and photograph.read_bytes() == before
    assert runtime.read_image(tmp_path / "photo.decoded.png").shape == (37, 50, 3)


def test_an_image_there_and_back(zoo, photograph, tmp_path):
    """By a network that comes with the package; the picture is that of the network whole."""
    data = zoo("encode", photograph, "-o", "f.switches", "--arch", "8_8_8", "--json").json
    model = locate("8_8_8")
    assert data["size"] == [37, 50] and data["padded"] == [40, 56]
    assert (data["arch"], data["model"], data["coding"]) == ("8_8_8", str(model), "tables")
    assert data["bytes"] == (tmp_path / "f.switches").stat().st_size
    bits = data["bits_per_pixel_and_channel"]
    assert bits["paper"] == 1.75
    assert bits["fixed"] == pytest.approx(1.75 * 40 * 56 / (37 * 50), abs=1e-6)
    assert bits["coded"] == pytest.approx(data["bytes"] * 8 / (37 * 50 * 3), abs=1e-6)
    assert 0 < bits["entropy"] < bits["fixed"]
    assert data["bits_per_pixel"]["paper"] == 5.25
    back = zoo("decode", "f.switches", "-o", "back.png", "--json").json
    assert (back["size"], back["model"]) == ([37, 50], str(model))
    expected = by_the_whole(model, runtime.read_image(photograph))
    np.testing.assert_array_equal(runtime.read_image(tmp_path / "back.png"), expected)
    assert np.ptp(expected) > 100


def test_what_people_read(zoo, ours, photograph):
    run = zoo("encode", photograph, "-o", "f.switches", "--arch", "2_3_4")
    assert run.status == 0
    assert "paper    0.500 bits per pixel and channel, 1.500 per pixel: 2 bits a switch" in run.out
    assert "37x50, by 2_3_4 (sha256 " in run.out and "order 0" in run.out
    run = zoo("decode", "f.switches", "-o", "back.png")
    assert run.out.startswith("wrote back.png, 37x50, by 2_3_4 (sha256 ")


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (8, 8), (9, 8), (16, 23), (65, 3)])
@pytest.mark.parametrize("raw", [False, True])
def test_any_size(zoo, ours, tmp_path, size, raw):
    image = np.random.default_rng(size[0]).integers(0, 256, (*size, 3), np.uint8)
    runtime.write_png(tmp_path / "in.png", image)
    form = ["--raw"] if raw else []
    data = zoo("encode", "in.png", "-o", "f", "--arch", "2_3_4", *form, "--json").json
    assert data["coding"] == ("raw" if raw else "lzma2")
    assert zoo("decode", "f", "-o", "out.png").status == 0
    found = runtime.read_image(tmp_path / "out.png")
    assert found.shape == image.shape
    np.testing.assert_array_equal(found, by_the_whole(ours / "2_3_4/1.0/net.onnx", image))


def test_raw_is_the_papers_size_and_a_header(zoo, tmp_path):
    (_, image), *_ = runtime.sample_images()
    runtime.write_png(tmp_path / "in.png", image[:128, :128])
    form = ["--arch", "16_16_16", "--raw"]
    data = zoo("encode", "in.png", "-o", "f.switches", *form, "--json").json
    code = architectures.bits_per_pixel("16_16_16") * 3 * 128 * 128 / 8
    assert code < data["bytes"] < code + 80
    assert data["bits_per_pixel_and_channel"]["fixed"] == 3.5


def test_encoding_is_the_same_each_time(zoo, ours, photograph, tmp_path):
    for name in ("a", "b"):
        assert zoo("encode", photograph, "-o", name, "--arch", "2_3_4").status == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def other_model(zoo, tmp_path, arch: str = "2_3_4", *options: str) -> str:
    (tmp_path / "other.prototxt").write_text(architectures.definition(arch, 16))
    mean = ["--mean", "1,2,3"]
    assert zoo("convert", "other.prototxt", "--seed", 9, *mean, *options).status == 0
    return "other.onnx"


def test_another_model_is_refused_and_both_are_named(zoo, ours, photograph, tmp_path):
    assert zoo("encode", photograph, "-o", "f", "--arch", "2_3_4").status == 0
    other = other_model(zoo, tmp_path)
    refusal = zoo("decode", "f", "-o", "x.png", "--model", other).refusal
    mine = runtime.read_header(tmp_path / "f").sha256[:12]
    assert refusal.startswith(
        f"f: was made by 2_3_4 (sha256 {mine}), not by other.onnx, which is 2_3_4 (sha256 "
    )
    assert not (tmp_path / "x.png").exists()


def test_a_model_that_the_hub_lacks(zoo, ours, photograph, tmp_path, monkeypatch):
    other = other_model(zoo, tmp_path)
    assert zoo("encode", photograph, "-o", "f", "--model", other).status == 0
    theirs = runtime.read_header(tmp_path / "f").sha256[:12]
    refusal = zoo("decode", "f", "-o", "x.png").refusal
    assert refusal.startswith(
        f"f: was made by 2_3_4 (sha256 {theirs}), which is not in {ours}; its 2_3_4@1.0 is sha256 "
    )
    assert refusal.endswith("; give it with --model M.onnx, or its hub with --hub")
    assert zoo("decode", "f", "-o", "x.png", "--model", other).status == 0
    image = runtime.read_image(photograph)
    found = runtime.read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(found, by_the_whole(tmp_path / other, image))


def test_the_hub_may_be_named(zoo, published, photograph, monkeypatch):
    monkeypatch.delenv("ZOO_HUB", raising=False)
    named = ["--hub", published]
    assert zoo("encode", photograph, "-o", "f", "--arch", "2_3_4", *named).status == 0
    assert "is not in the embedded hub" in zoo("decode", "f", "-o", "x.png").refusal
    assert zoo("decode", "f", "-o", "x.png", *named).status == 0


def test_a_model_of_one_size(zoo, photograph, tmp_path):
    fixed = other_model(zoo, tmp_path, "2_3_4", "--shape", "data=1x3x16x16")
    refusal = zoo("encode", photograph, "-o", "f", "--model", fixed).refusal
    assert "takes images of 16x16 only, not 37x50; convert it again without --shape" in refusal
    runtime.write_png(tmp_path / "in.png", runtime.read_image(photograph)[:15, :16])
    assert zoo("encode", "in.png", "-o", "f", "--model", fixed).status == 0
    assert zoo("decode", "f", "-o", "x.png", "--model", fixed).status == 0
    assert runtime.read_image(tmp_path / "x.png").shape == (15, 16, 3)


def test_damage_leaves_no_picture(zoo, ours, photograph, tmp_path):
    assert zoo("encode", photograph, "-o", "f", "--arch", "2_3_4").status == 0
    good = (tmp_path / "f").read_bytes()
    for bad in (good[:-1], good[:9], b"", good[:60] + b"\0" + good[61:]):
        (tmp_path / "f").write_bytes(bad)
        assert zoo("decode", "f", "-o", "x.png").refusal.startswith("f: ")
    # Levels that are not the model's, and a checksum that fits.
    lie = bytearray(good[:-4])
    lie[15] += 1
    (tmp_path / "f").write_bytes(bytes(lie) + struct.pack("<I", zlib.crc32(lie)))
    said = zoo("decode", "f", "-o", "x.png").refusal
    assert said.startswith("f: tells of levels of 3, 3, 4 channels, unlike its own model")
    assert zoo("decode", "none", "-o", "x.png").refusal == "none: no such file"
    assert not (tmp_path / "x.png").exists()


def test_what_cannot_be_encoded(zoo, ours, photograph, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    assert zoo("encode", "bad.jpg", "-o", "f", "--arch", "2_3_4").refusal.startswith("bad.jpg: ")
    assert "48_96_192" in zoo("encode", photograph, "-o", "f").refusal  # the default; not in there
    (tmp_path / "c.prototxt").write_text(architectures.definition("2_2_2", classify=True))
    zoo("convert", "c.prototxt", "--mean", "1,2,3")
    refusal = zoo("encode", photograph, "-o", "f", "--model", "c.onnx").refusal
    assert refusal.startswith("c.onnx: ")
    other_model(zoo, tmp_path, "2_3_4", "--split")
    assert "other.decoder.onnx: does not take one image" in (
        zoo("encode", photograph, "-o", "f", "--model", "other.decoder.onnx").refusal
    )
    assert not (tmp_path / "f").exists()


def test_nothing_is_written_over_what_is_read(zoo, ours, photograph, tmp_path):
    shutil.copy(photograph, "copy.png")
    run = zoo("encode", "copy.png", "-o", "copy.png", "--arch", "2_3_4")
    assert run.status == 2 and "would overwrite its own input" in run.err
    run = zoo("decode", "copy.png", "-o", "picture.jpg")
    assert run.status == 2 and "pictures are written as PNG" in run.err


def test_a_model_that_takes_pixels(zoo, photograph, tmp_path):
    (tmp_path / "net.prototxt").write_text(architectures.definition("2_3_4"))
    options = ["--mean", "100,110,120", "--fold-preprocessing", "-o", "pixels.onnx"]
    assert zoo("convert", "net.prototxt", *options).status == 0
    refusal = zoo("encode", photograph, "-o", "f.switches", "--model", "pixels.onnx").refusal
    assert "takes uint8 pixels" in refusal and "without --fold-preprocessing" in refusal
    assert not (tmp_path / "f.switches").exists()


def test_scale_and_order_of_colours(zoo, tmp_path):
    """The network sees what it was trained on, and the picture is BGR of 0..255 again."""
    mean, scale = [100, 110, 120], 0.0078125
    (tmp_path / "net.prototxt").write_text(architectures.definition("2_3_4"))
    stated = ["--mean", "100,110,120", "--scale", scale, "--channel-order", "RGB"]
    assert zoo("convert", "net.prototxt", "--seed", 9, *stated).status == 0
    (_, image), *_ = runtime.sample_images()
    image = np.ascontiguousarray(image[100:460:9, 0:504:9])
    height, width = image.shape[:2]
    assert (height, width) == (40, 56)
    runtime.write_png(tmp_path / "in.png", image)

    colours = np.array(mean, np.float32).reshape(3, 1, 1)
    blob = (image[..., ::-1].transpose(2, 0, 1).astype(np.float32) - colours) * np.float32(scale)
    found = runtime.load(tmp_path / "net.onnx", "cpu").run({"data": blob[None]})
    rgb = np.clip(np.rint(found["deconv1_2"][0] / np.float32(scale) + colours), 0, 255)
    expected = rgb.astype(np.uint8).transpose(1, 2, 0)[..., ::-1]
    assert np.ptp(expected) > 20 and (expected[..., 0] != expected[..., 2]).any()

    model = ["--model", "net.onnx"]
    assert zoo("encode", "in.png", "-o", "f.switches", *model).status == 0
    masks = list(runtime.read_masks(tmp_path / "f.switches"))
    for level, mask in enumerate(masks, 1):
        np.testing.assert_array_equal(mask, found[f"pool{level}_mask"][0])
    assert zoo("decode", "f.switches", "-o", "back.png", *model).status == 0
    back = runtime.read_image(tmp_path / "back.png")
    np.testing.assert_array_equal(back, expected)

    assert zoo("reconstruct", "in.png", "--size", "40x56", "-o", "drawn", *model).status == 0
    drawn = runtime.read_image(tmp_path / "drawn/in.png")
    rebuilt = back.repeat(4, 0).repeat(4, 1)  # small pictures are drawn enlarged
    assert rebuilt.shape[1] * 2 + 36 == drawn.shape[1]
    np.testing.assert_array_equal(drawn[12 : 12 + 4 * height, -12 - 4 * width : -12], rebuilt)


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "every"), [("8_8_8", 1), ("16_16_16-learned", 5)])
def test_five_hundred_photographs(shared, tmp_path, arch, every):
    """Encoded and decoded they are, bit for bit, what the network whole makes of them."""
    model = locate(arch)
    coder, whole = coding.open_coder(model, "cpu"), runtime.load(model, "cpu")
    mean = runtime.read_mean(whole.metadata["zoo.mean"])
    count, file = 0, tmp_path / "f.switches"
    for item in list(runtime.list_images(shared / "images/imagenet-dev"))[::every]:
        image = runtime.resize(runtime.pixels(item), 128, 128)
        coding.encode(coder, image, file)
        blob = runtime.preprocess(image, mean, (128, 128))[None]
        direct = whole.run({"data": blob}, ["deconv1_2"])["deconv1_2"][0]
        expected = runtime.deprocess(direct, mean)
        np.testing.assert_array_equal(coding.decode(coder, file), expected)
        count += 1
    assert count == 500 // every


def test_another_runtime_decodes_the_same(tmp_path):
    """The PyTorch rebuild, fed what a file holds: the same picture but for rounding."""
    import torch

    net = prototxt.parse_net(architectures.definition("8_8_8")).select("TEST")
    graph = converters.build_graph(net, seed=0)
    described = {"zoo.arch": "8_8_8", "zoo.mean": "100,110,120"}
    model = converters.to_onnx(converters.fold(graph), metadata=described)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    coder, file = coding.open_coder(tmp_path / "net.onnx", "cpu"), tmp_path / "f.switches"
    encoder, decoder = converters.split(graph)
    (_, image), *_ = runtime.sample_images()
    image = image[:96, :160]
    coding.encode(coder, image, file)
    masks = list(runtime.read_masks(file))
    with torch.no_grad():
        blob = runtime.preprocess(image, coder.mean, (96, 160))[None]
        theirs = converters.to_torch(encoder)(torch.from_numpy(blob))
        named = zip([f"pool{level}_mask" for level in (1, 2, 3)], masks, strict=True)
        fed = theirs | {name: torch.from_numpy(mask[None]) for name, mask in named}
        found = converters.to_torch(decoder)(*[fed[value.name] for value in decoder.inputs])
    differing = sum(
        int((theirs[f"pool{level}_mask"].numpy()[0] != mask).sum())
        for level, mask in enumerate(masks, 1)
    )
    assert differing <= 1e-4 * sum(mask.size for mask in masks)
    ours = coder.network.decode(masks, 96, 160)
    scale = np.abs(ours).max()
    np.testing.assert_allclose(found["deconv1_2"].numpy(), ours, rtol=0, atol=1e-5 * scale)


def test_a_model_with_tables_makes_smaller_files_of_the_same_picture(zoo, tmp_path, photograph):
    model = tmp_path / "counted.onnx"
    shutil.copyfile(locate(OLDER), model)
    coding.add_tables(model, [image[:256, :256] for _, image in runtime.sample_images()])
    before = zoo("encode", photograph, "-o", "a", "--model", locate(OLDER), "--json").json
    after = zoo("encode", photograph, "-o", "b", "--model", model, "--json").json
    assert (before["coding"], after["coding"]) == ("lzma2", "tables")
    assert after["bytes"] < before["bytes"]
    assert "by the model's tables" in zoo("encode", photograph, "-o", "b", "--model", model).out
    assert zoo("decode", "a", "-o", "a.png").status == 0
    assert zoo("decode", "b", "-o", "b.png", "--model", model).status == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    raw = zoo("encode", photograph, "-o", "c", "--model", model, "--raw", "--json").json
    assert raw["coding"] == "raw" and raw["bytes"] > after["bytes"]
    told = zoo("inspect", model).out
    assert "characters more" in told and len(told) < 4000


def test_tables_are_counted_anew(tmp_path):
    """Twice on the same images is the same file: what was there is replaced."""
    model = tmp_path / "m.onnx"
    shutil.copyfile(locate("8_8_8"), model)
    images = [image[:64, :64] for _, image in runtime.sample_images()]
    coding.add_tables(model, images)
    once = model.read_bytes()
    coding.add_tables(model, images)
    assert model.read_bytes() == once


@pytest.mark.parametrize("name", ["8_8_8", "16_32_32-rate-1"])
@pytest.mark.parametrize("rows", [8, 48])
def test_a_large_image_goes_through_in_strips(name, rows, monkeypatch):
    """And nothing of it shows: what is around a strip is seen as far as it matters."""
    coder = coding.open_coder(locate(name), "cpu")
    photograph = runtime.resize(runtime.sample_images()[0][1], 397, 150)
    masks = coder.switches(photograph)
    picture = coder.picture(masks, 397, 150)
    monkeypatch.setattr(coding, "STRIP", rows * 152)
    strips = list(coder._strips(400, 152))
    assert len(strips) == -(-400 // rows)
    assert max(seen.stop - seen.start for _, seen in strips) == rows + 2 * coder.network.reach < 400
    again = coder.switches(photograph)
    for one, other in zip(masks, again, strict=True):
        assert (one != other).sum() <= 1e-4 * one.size  # as floats are summed
    assert np.abs(picture.astype(int) - coder.picture(masks, 397, 150)).max() <= 1
    assert picture.std() > 20


def test_how_far_a_pixel_matters_bounds_what_it_changes():
    coder = coding.open_coder(locate("8_8_8"), "cpu")
    photograph = runtime.resize(runtime.sample_images()[1][1], 320, 64)
    other = photograph.copy()
    other[160:] = np.random.default_rng(0).integers(0, 256, other[160:].shape)
    before, after = map(coder.switches, (photograph, other))
    for level, (one, two) in enumerate(zip(before, after, strict=True), 1):
        changed = np.flatnonzero((one != two).any((0, 2)))[0] << level
        assert 160 - coder.network.reach <= changed <= 160


@pytest.mark.parametrize(
    ("operator", "bounded"), [("Relu", True), ("GlobalMaxPool", False), ("NeverHeardOf", False)]
)
def test_of_operators_that_are_not_known_to_be_local_all_is_seen(operator, bounded):
    """Such a network takes an image whole, however large."""
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[5, 5]),
        onnx.helper.make_node(operator, ["y"], ["z"]),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "n", [info], []))
    assert reach_of([model], 4) == (8 if bounded else None)
