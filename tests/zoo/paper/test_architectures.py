"""The paper's definitions: against what is written here, and against the authors' files."""

import dataclasses

import pytest

import prototxt
from converters.families import KnownNetwork, recognise
from prototxt.errors import UsageError
from zoo.paper import architectures

NET_LAYERS = """\
conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 relu2_1 conv2_2 relu2_2 pool2
conv3_1 reul3_1 conv3_2 reul3_2 pool3 bias4 unpool3 deconv3_1 dereul3_1 deconv3_2 dereul3_2
unpool2 deconv2_1 derelu2_1 deconv2_2 derelu2_2 unpool1 deconv1_1 derelu1_1 deconv1_2 L2_loss
""".split()
CLASSIFY_LAYERS = [
    *NET_LAYERS[:15],
    *"fc4 reul4 fc5 reul5 fc6 prob silence1 silence2 silence3".split(),
]


def known(arch: str, classify: bool, size: int) -> KnownNetwork:
    task, kind = ("classify", "classify") if classify else ("reconstruct", "net")
    return KnownNetwork(arch, task, size, f"the paper's {kind}{arch}")


def parse(arch: str, **how: object) -> prototxt.NetDefinition:
    return prototxt.parse_net(architectures.definition(arch, **how), "generated.prototxt")


def structure(net: prototxt.NetDefinition) -> list[object]:
    """Everything that a definition says of its layers, as plain data."""

    def plain(message: prototxt.Message) -> object:
        return sorted(
            (item.name, plain(item.value) if hasattr(item.value, "fields") else item.value.text)
            for item in message.fields
        )

    return [
        (
            layer.name,
            layer.type,
            layer.bottoms,
            layer.tops,
            [(spec.lr_mult, spec.decay_mult) for spec in layer.specs],
            [rule.phase for rule in layer.include],
            sorted((item.name, plain(item.value)) for item in layer.extra_fields()),
        )
        for layer in net.layers
    ]


def number(net: prototxt.NetDefinition, layer: str, message: str, field: str) -> int:
    found = next(item for item in net.layers if item.name == layer)
    return int(found.param(message).last(field).value.text)


def test_the_eight_archs_and_their_figures():
    assert architectures.ARCHES[0] == "8_8_8"
    assert architectures.ARCHES[-1] == "48_96_192"
    assert [architectures.bits_per_pixel(arch) for arch in architectures.ARCHES] == [
        1.75,
        1.75,
        3.5,
        3.5,
        7,
        7,
        14,
        14,
    ]
    assert architectures.published("64_64_64") == 0.0744
    assert architectures.published("48_96_192") == 0.0718
    assert architectures.published("24_48_96", pretrained=True) == 0.0915
    assert architectures.published("64_64_64", pretrained=True) is None
    assert architectures.published("2_3_4") is None


def test_a_reconstruction_net():
    net = parse("6_12_24")
    assert [layer.name for layer in net.layers] == ["data", "data", *NET_LAYERS]
    widths = {
        layer: number(net, layer, "convolution_param", "num_output")
        for layer in NET_LAYERS
        if layer.startswith(("conv", "deconv", "bias"))
    }
    assert widths == {
        "conv1_1": 6,
        "conv1_2": 6,
        "conv2_1": 12,
        "conv2_2": 12,
        "conv3_1": 24,
        "conv3_2": 24,
        "bias4": 24,
        "deconv3_1": 24,
        "deconv3_2": 12,
        "deconv2_1": 12,
        "deconv2_2": 6,
        "deconv1_1": 6,
        "deconv1_2": 3,
    }
    rates = {layer.name: [(s.lr_mult, s.decay_mult) for s in layer.specs] for layer in net.layers}
    assert rates["conv1_1"] == [(0, 0), (0, 0)]  # the encoder stays as it was drawn
    assert rates["bias4"] == [(0, 0), (2, 0)]
    assert rates["deconv1_2"] == [(1, 1), (2, 1)]
    by_name = {layer.name: layer for layer in net.layers}
    assert by_name["unpool3"].bottoms == ["bias4", "pool3_mask"]
    assert by_name["pool2"].tops == ["pool2", "pool2_mask"]
    assert by_name["L2_loss"].bottoms == ["deconv1_2", "data"]


@pytest.mark.parametrize("size", [128, 1024])
def test_the_size_is_in_the_unpoolings(size):
    net = parse("8_8_8", size=size)
    sizes = [number(net, f"unpool{level}", "unpooling_param", "unpool_size") for level in (1, 2, 3)]
    assert sizes == [size, size // 2, size // 4]


def test_a_classifier():
    net = parse("8_8_8", classify=True)
    assert [layer.name for layer in net.layers] == ["data", "data", *CLASSIFY_LAYERS]
    by_name = {layer.name: layer for layer in net.layers}
    assert [(s.lr_mult, s.decay_mult) for s in by_name["conv1_1"].specs] == [(1, 0), (2, 0)]
    assert number(net, "fc6", "inner_product_param", "num_output") == 200
    assert net.select("TRAIN").layers[0].tops == ["data", "label"]
    assert net.select("TEST").layers[0].tops == ["data"]


def test_the_solver():
    solver = prototxt.parse_solver(architectures.solver("8_8_8"))
    assert (solver.type, solver.base_lr, solver.max_iter) == ("AdaGrad", 0.01, 50000)
    assert solver.net == "net8_8_8.prototxt"
    assert solver.weight_decay == 0


@pytest.mark.parametrize("arch", ["8_8", "8_8_8_8", "0_8_8", "8-8-8", "8_8_x", "", "99999_1_1"])
def test_an_arch_of_another_form_is_refused(arch):
    with pytest.raises(UsageError, match="n1_n2_n3"):
        architectures.definition(arch)


@pytest.mark.parametrize("size", [0, -8, 100, 4])
def test_a_size_that_three_poolings_do_not_halve_is_refused(size):
    with pytest.raises(UsageError, match="multiple of 8"):
        architectures.definition("8_8_8", size)


@pytest.mark.parametrize("arch", [*architectures.ARCHES, "2_3_4"])
@pytest.mark.parametrize("classify", [False, True])
def test_what_is_generated_is_recognised(arch, classify):
    found = recognise(parse(arch, classify=classify))
    assert found == known(arch, classify, 128)
    selected = parse(arch, classify=classify).select("TEST")
    assert recognise(selected) == found


def test_the_size_is_recognised():
    assert recognise(parse("8_8_8", size=1024)).size == 1024


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kernel_size: 3", "kernel_size: 5"),
        ("num_output: 8", "num_output: 9"),
        ("pool: MAX", "pool: AVE"),
        ('bottom: "pool1_mask"', 'bottom: "pool2_mask"'),
        ("unpool_size: 64", "unpool_size: 63"),
        ('name: "reul3_1"', 'name: "relu3_1"'),
        ('type: "ReLU"', 'type: "Sigmoid"'),
    ],
)
def test_a_net_that_departs_in_one_place_is_not_recognised(old, new):
    text = architectures.definition("8_8_8")
    assert old in text
    assert recognise(prototxt.parse_net(text.replace(old, new, 1))) is None


def test_what_does_not_matter_is_overlooked():
    text = architectures.definition("8_8_8")
    for old, new in [("lr_mult: 0", "lr_mult: 1"), ("xavier", "gaussian"), ("LCL", "x")]:
        text = text.replace(old, new)
    text = text.replace("stride: 2", "stride: 2 pad: 0").replace("pad: 1", "pad: 1 group: 1")
    assert recognise(prototxt.parse_net(text)).arch == "8_8_8"


def test_another_network_is_not_recognised():
    net = prototxt.parse_net('layer { name: "a" type: "ReLU" bottom: "x" top: "y" }')
    assert recognise(net) is None


@pytest.mark.parametrize("arch", architectures.ARCHES)
def test_the_authors_nets(shared, arch):
    theirs = prototxt.read_net(shared / f"caffe/tunnel/prototxt/net{arch}.prototxt")
    assert structure(parse(arch)) == structure(theirs)
    assert recognise(theirs) == known(arch, False, 128)


@pytest.mark.parametrize("arch", architectures.ARCHES[:6])
def test_the_authors_classifiers(shared, arch):
    theirs = prototxt.read_net(shared / f"caffe/tunnel/prototxt/classify{arch}.prototxt")
    assert structure(parse(arch, classify=True)) == structure(theirs)
    assert recognise(theirs) == known(arch, True, 128)


def test_the_authors_large_net(shared):
    theirs = prototxt.read_net(shared / "caffe/tunnel/prototxt/net48_96_192Size1024.prototxt")
    ours = parse("48_96_192", size=1024)
    assert structure(ours)[2:] == structure(theirs)[2:]  # the data layers name another data set
    assert recognise(theirs).size == 1024


@pytest.mark.parametrize("arch", architectures.ARCHES)
def test_the_authors_solvers(shared, arch):
    theirs = prototxt.read_solver(shared / f"caffe/tunnel/prototxt/net{arch}Solver.prototxt")
    text = architectures.solver(
        arch, net=f"proto2/net{arch}.prototxt", snapshot_prefix=f"snapshots2/net{arch}"
    )
    ours = prototxt.parse_solver(text)
    assert ours.type == theirs.type == "AdaGrad"  # which theirs says the old way, by number
    assert ours == dataclasses.replace(theirs, solver_type=ours.solver_type)
