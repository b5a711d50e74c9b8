"""`zoo layers`: every layer type that is known."""

from dataclasses import asdict

from zoo.commands import options


def layers(
    plugin: options.Plugins = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List every layer type that is known.

    Each with what it can become, ONNX and PyTorch. The family is the file in converters/layers/
    that holds it; the fork is the Caffe that has it.
    """
    import converters
    from zoo.console import Printer

    say = Printer(json, quiet)
    for path in plugin or ():
        converters.load_plugin(path)
    types = converters.layer_types()
    say.result({"layers": [asdict(info) for info in types]})
    say.table(
        ["type", "family", "fork", "onnx", "torch"],
        [[info.type, info.family, info.fork, info.onnx, info.torch] for info in types],
    )
    say.line(f"{len(types)} layer types")
