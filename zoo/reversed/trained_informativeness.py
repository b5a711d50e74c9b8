"""What tells a reversed network more of an image: switches, ReLU masks, or both.

Section 3.3 of Mahendran and Vedaldi's *Salient deconvolutional networks*, of a network that was
trained to classify: its first layers are reversed (`converters.reverse`) by three rules, and the
weights of each reversed network are trained anew, alike, to give the image back. Masks are where
the reverse has them: after each ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from converters.reversal import ReLURule, Rules
from converters.shapes import fixed
from zoo.paper.recipes.images import Images
from zoo.progress import OnProgress, counted, unheard
from zoo.reversed import networks
from zoo.reversed.informativeness import KINDS, Informativeness

if TYPE_CHECKING:
    from converters import Graph
    from zoo.reversed.networks import Network

__all__ = ["RULES", "Rebuilder", "bits", "measure"]

RULES: Mapping[str, Rules] = {
    "switches": Rules(ReLURule.RELU),
    "masks": Rules(ReLURule.MASK_AND_RELU, switches=False),
    "both": Rules(ReLURule.MASK_AND_RELU),
}
"""What each is told: DeConvNet, DeSaliNet but to the centre of each window, DeSaliNet."""
RATE = 1e-2
BATCH = 16


class Rebuilder(nn.Module):
    """A reversed network with weights of its own: what it is told of images to the images.

    In place of the encoder's output it reads a constant, one for each channel, which is learnt: all
    that it knows of an image is in what it is told.
    """

    def __init__(self, reversed_: Graph, seed: int) -> None:
        import converters

        super().__init__()
        *stored, top = reversed_.inputs
        self.stored = [value.name for value in stored]
        self.network = converters.to_torch(reversed_)
        channels, *self.plane = fixed(top.shape[1:])
        self.constant = nn.Parameter(torch.ones(1, channels, 1, 1))
        generator = torch.Generator().manual_seed(seed)
        for weight in self.network.parameters():
            nn.init.normal_(weight, generator=generator)

    def forward(self, told: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """N×3×H×W, in units of 1, less the mean."""
        stored = [told[name] for name in self.stored]
        top = self.constant.expand(len(stored[0]), -1, *self.plane)
        found: dict[str, torch.Tensor] = self.network(*stored, top)
        return next(iter(found.values()))

    @torch.no_grad()
    def calibrate(self, told: Mapping[str, torch.Tensor], spread: float) -> None:
        """Scale each layer's weights so that its values spread by 1 on these images.

        The last layer's, which are the image, by `spread`.
        """
        done: list[torch.Tensor] = []

        def fit(layer: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
            scale = output.std().clamp_min(1e-6)
            done.append(layer.get_parameter("weight").div_(scale))
            return output / scale

        layers = [one for one in self.network.modules() if "weight" in one._parameters]
        hooks = [layer.register_forward_hook(fit) for layer in layers]
        self(told)
        for hook in hooks:
            hook.remove()
        done[-1].mul_(spread)


class Encoder:
    """The first layers of a classifier, as they are: what they tell of images."""

    def __init__(self, network: Network) -> None:
        import converters
        from converters.passes.reverse import bottleneck

        self.network = network
        blob = network.graph.outputs[0].name
        self.told = converters.to_torch(bottleneck(network.graph, blob, RULES["both"]))

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
        """Of N×3×H×W uint8, BGR."""
        images = [
            networks.image_feeds(self.network, one.transpose(1, 2, 0), None) for one in pixels
        ]
        fed = np.concatenate([next(iter(one.values())) for one in images])
        found: dict[str, torch.Tensor] = self.told(torch.from_numpy(fed))
        return found


def measure(
    network: Network,
    images: Images,
    iterations: int,
    *,
    seed: int = 0,
    on_progress: OnProgress = unheard,
) -> Informativeness:
    """Train the three reversed networks, each `iterations` steps, and compare them.

    Args:
        network: the first layers of a classifier, up to their only output, for images of a fixed
            size.
        images: parts of that size are drawn of the pool; the error is over all such parts of those
            that are held out, or of the pool's first 64 where there are none.
        iterations: of each.
        seed: of the weights and of what is drawn.
        on_progress: is told how far all three are.

    Raises:
        ConversionError: a layer that has no reverse.
    """
    from converters.passes.reverse import reverse

    encoder, graph = Encoder(network), network.graph
    blob, size = graph.outputs[0].name, int(graph.inputs[0].shape[2])
    judges = tiles(images.held if len(images.held) else images.pool[:64], size)
    step = counted(on_progress, len(KINDS) * iterations)

    def errors(rebuilder: Rebuilder, pixels: np.ndarray) -> torch.Tensor:
        wanted = torch.from_numpy((pixels - images.mean.astype(np.float32)) / 255)
        made: torch.Tensor = rebuilder(encoder(pixels))
        return (made - wanted).square().mean((1, 2, 3))

    found: dict[str, float] = {}
    for kind in KINDS:
        rebuilder = Rebuilder(reverse(graph, blob, RULES[kind], stored=True), seed)
        rng = np.random.default_rng(seed)
        first = parts(images.pool, size, rng)
        rebuilder.calibrate(encoder(first), float(first.std()) / 255)
        optimizer = torch.optim.AdamW(rebuilder.parameters(), RATE, betas=(0.9, 0.99))
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, iterations)
        for _ in range(iterations):
            error = errors(rebuilder, parts(images.pool, size, rng)).mean()
            optimizer.zero_grad(set_to_none=True)
            error.backward()
            optimizer.step()
            rates.step()
            step()
        with torch.no_grad():
            batches = np.split(judges, range(BATCH, len(judges), BATCH))
            every = torch.cat([errors(rebuilder, batch) for batch in batches])
        found[kind] = math.sqrt(float(every.mean()))
    return Informativeness(f"{graph.name} up to {blob}", found, len(images.held))


def parts(pool: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A batch of parts of images, each from a place of its own: BATCH×3×size×size."""
    free = pool.shape[-1] - size + 1
    drawn = rng.integers((len(pool), free, free), size=(BATCH, 3))
    return np.stack([pool[i, :, y : y + size, x : x + size] for i, y, x in drawn])


def tiles(images: np.ndarray, size: int) -> np.ndarray:
    """All parts of that size, side by side."""
    count = images.shape[-1] // size
    rows = [
        images[:, :, y * size : (y + 1) * size, x * size : (x + 1) * size]
        for y in range(count)
        for x in range(count)
    ]
    return np.concatenate(rows)


def bits(graph: Graph) -> tuple[float, float]:
    """Bits of all switches and of all ReLU masks of an image, each by its number of values."""
    from converters.layers.activations import ReLU
    from converters.layers.pooling import Pooling
    from converters.registry import find

    switches = masks = 0.0
    for node in graph.nodes:
        kind, values = find(node.type), math.prod(fixed(node.outputs[0].shape[1:]))
        if isinstance(kind, Pooling) and node.params.pool.name == "MAX":
            switches += values * math.log2(math.prod(kind.windows(node).kernel))
        elif isinstance(kind, ReLU):
            masks += values
    return switches, masks
