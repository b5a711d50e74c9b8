"""The public names of the packages: a change here is one that users see."""

import ast
import importlib
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = {
    "prototxt": """
        Datum Field FormatError LayerBlobs LayerDefinition Message NetDefinition ParamSpec Position
        Preprocessing Scalar SolverDefinition SolverState StateRule UInt UnknownFields UsageError
        ZooError
        atomic_write decode format_text is_solver parse_datum parse_net parse_solver parse_text
        read_binaryproto read_model read_net read_solver read_solverstate read_text read_weights
        serialize_datum write_binaryproto write_net write_solver write_solverstate write_weights
    """,
    "converters": """
        DEFAULT_OPSET DEFAULT_TARGET FORMS TARGETS BlobSpec Conversion ConversionError Graph
        LayerInfo LayerType
        NeedsShape Node OnnxFile Rules UnsupportedLayers Value bottleneck build_graph convert fold
        layer_types load_graph load_plugin register reverse split to_onnx to_onnx_file to_torch
    """,
    "runtime": """
        IMAGENET_MEAN RMSE Boxes Classes EncoderDecoder Evaluation Feeder Header IOSpec
        InferenceError Model Numbers Picture Prediction Predictor Regions
        bits_per_pixel captioned_grid contact_sheet deprocess evaluate fixed_size image_output
        image_shape labelled_grid list_images load load_encoder_decoder mosaic pixels preprocess
        psnr read_header read_image read_masks read_mean resize resolve sample_images side_by_side
        ssim task_of write_png write_switches
    """,
    "zoo.hub": """
        Entry Hub Index Metric locate locate_file open_hub publish pull
    """,
}
NAMES = [(package, name) for package, names in PUBLIC.items() for name in names.split()]


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by name."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


def homes(package: str) -> dict[str, str]:
    """The module of each public name, as the package says it."""
    table: dict[str, str | Iterable[str]] = importlib.import_module(package)._HOMES
    return {
        name: f"{package}.{module}"
        for module, names in table.items()
        for name in (names.split() if isinstance(names, str) else names)
    }


def source(module: str) -> ast.Module:
    """The code of a module of ours, or of a package's `__init__`."""
    path = ROOT / module.replace(".", "/")
    return ast.parse(
        (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    )


def documented(tree: ast.Module) -> set[str]:
    """What a module defines at its top with a docstring; a constant's is the text that follows."""
    found = set()
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            found.add(node.name)
        text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(node, ast.Assign | ast.AnnAssign) and text:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("package", PUBLIC)
def test_names_are_these(package):
    names = importlib.import_module(package).__all__
    assert names == sorted(PUBLIC[package].split(), key=order)


@pytest.mark.parametrize("package", PUBLIC)
def test_homes_and_imports_for_type_checkers_agree(package):
    """Each name stands three times in an `__init__`: to be listed, to be found, to be checked."""
    checked = {
        alias.name: f"{package}.{node.module}"
        for block in source(package).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert homes(package) == checked
    assert set(checked) == set(PUBLIC[package].split())


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_each_can_be_imported_and_is_documented(package, name):
    home = homes(package)[name]
    found = getattr(importlib.import_module(package), name)
    assert found is getattr(importlib.import_module(home), name)
    assert name in documented(source(home))


@pytest.mark.parametrize("package", PUBLIC)
def test_another_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        importlib.import_module(package).nothing  # noqa: B018
