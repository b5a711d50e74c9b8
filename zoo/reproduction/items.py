"""What is made again: a table or figure of a source, its published numbers, and what makes ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zoo.progress import OnProgress
from zoo.reproduction.inputs import Inputs

__all__ = ["SOURCES", "Item", "Made", "Number", "Picture", "Source"]


@dataclass(frozen=True)
class Source:
    """A paper."""

    name: str
    title: str
    about: str
    """Authors, where and when."""
    left_out: tuple[str, ...] = ()
    """What of it is not made again here, and why."""


SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        Source(
            "tunnel",
            "Tunnel Effect in CNNs: Image Reconstruction From Max-Switch Locations",
            "IEEE Signal Processing Letters, 2017, and its authors' talk",
            (
                "the pretrained encoders of 32_32_32 and 24_48_96 are the authors', not pretrained "
                "here",
                "the authors' weights of 48_96_192 are not at hand",
            ),
        ),
        Source(
            "salinet",
            "Salient deconvolutional networks",
            "Mahendran and Vedaldi, ECCV 2016",
            (
                "AlexNet and VGG-16, which the paper looks into, are not at hand: another network "
                "of ImageNet stands for the one, a small one after VGG, of Tiny ImageNet at 32x32, "
                "for the other",
                "the numbers of Table 1 are not at hand",
            ),
        ),
        Source(
            "filters",
            "Understanding learned CNN features through Filter Decoding with Substitution",
            "Rafegas and Vanrell, arXiv 1511.05084, 2015",
            (
                "of Table 1 only the means of the bicubic column are at hand",
                "the weights of the supplement's network that was made by hand are not at hand: "
                "another that recognises characters, made by hand too, stands for it",
            ),
        ),
        Source(
            "deconvnet",
            "Visualizing and understanding CNNs",
            "Cloarec and Rousseau, after Zeiler and Fergus",
            (
                "its Table 1 and how it measured sensitivity to colour and gradient are not at "
                "hand: the sizes of the small network and the measures are ours",
            ),
        ),
    )
}
"""By the word that chooses them."""


@dataclass(frozen=True)
class Number:
    """One published number, and when ours meets it."""

    what: str
    published: float | None = None
    """None where it is not at hand."""
    rule: str = "within"
    """`within` a share of it, `by` at most that much off, `at most` it, `at least` it."""
    margin: float = 0.05
    digits: int = 4

    def met(self, ours: float | None) -> bool | None:
        """Whether ours meets it; None where one of them is not there."""
        if ours is None or self.published is None:
            return None
        if self.rule == "at most":
            return ours <= self.published
        if self.rule == "at least":
            return ours >= self.published
        share = abs(self.published) if self.rule == "within" else 1.0
        return abs(ours - self.published) <= self.margin * share

    @property
    def condition(self) -> str:
        """When ours meets it, in words."""
        if self.published is None:
            return ""
        if self.rule == "within":
            return f"within {self.margin:.0%}"
        if self.rule == "by" and not self.margin:
            return "exactly"
        return f"within {self.margin:g}" if self.rule == "by" else self.rule


@dataclass(frozen=True)
class Picture:
    """A PNG and what is on it."""

    caption: str
    png: bytes


@dataclass(frozen=True)
class Made:
    """What came of an item."""

    data: str
    """What it was made on."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Ours, by `Number.what`."""
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Item:
    """A table or figure of a source."""

    id: str
    source: Source
    number: str
    """As the source counts it: Table II, Fig. 3, the talk."""
    title: str
    differs: str
    """What is otherwise here than there, and why."""
    make: Callable[[Inputs, OnProgress], Made]
    numbers: Sequence[Number] = ()
    needs: Sequence[str] = ()
    """Data without which it cannot be made, by their names (`inputs.NAMES`)."""
    uses: Sequence[str] = ()
    """Data that it takes where they are given."""
    packages: Sequence[str] = ()
    """Modules of extras without which it cannot be made."""
