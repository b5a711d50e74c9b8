"""The model that a command runs: the file of `--model`, or what the hub has for `--arch`."""

from __future__ import annotations

from pathlib import Path

from prototxt.errors import Sentence, UsageError
from zoo.errors import HubError


def model_for(
    model: Path | None,
    arch: str | None,
    pretrained: bool = False,
    hub: str | None = None,
    offline: bool = False,
) -> tuple[Path, str | None]:
    """The path of the model, and the arch alone (`16_16_16` of `16_16_16-learned@1.0`).

    The hub is the one that ZOO_HUB names, else the embedded one; `pretrained` asks for the encoder
    that was pretrained.
    """
    from zoo.hub import locate
    from zoo.paper import architectures

    name = architectures.arch_of(arch.partition("@")[0]) if arch is not None else None
    if model is not None:
        return model, name
    if arch is None:
        raise UsageError("neither --arch nor --model is given")
    try:
        encoder = "pretrained" if pretrained else None
        return locate(arch, hub, offline, encoder=encoder), name
    except HubError as error:
        there = (error.remedy, "; or ") if error.remedy else ()
        raise HubError(
            error.message,
            subject=error.subject,
            position=error.position,
            remedy=Sentence(*there, "give one with --model M.onnx"),
        ) from None
