"""docs/reproduction.md has the numbers of benchmarks/reproduction.json."""

from __future__ import annotations

import json
import re

from tests.docs.blocks import ROOT
from zoo.reproduction import filters, objects, report, salinet
from zoo.reproduction.inputs import NAMES
from zoo.reproduction.items import SOURCES
from zoo.reproduction.registry import ITEMS

PAGE = (ROOT / "docs/reproduction.md").read_text()
FOUND = json.loads((ROOT / "benchmarks/reproduction.json").read_text())


def test_the_table_of_published_numbers() -> None:
    assert report.table(report.COLUMNS, report.compared(FOUND), (2, 3)) in PAGE
    assert f"{report.summary(FOUND)}." in PAGE


def test_the_pictures() -> None:
    """Every figure that is drawn without data of a user's has one at least; none is left over."""
    text = (ROOT / "docs/pictures.md").read_text()
    shown = re.findall(r"\]\(images/reproduction/(.+)\)", text)
    folder = ROOT / "docs/images/reproduction"
    assert sorted(shown) == sorted(path.name for path in folder.iterdir())
    drawn = {name.rpartition("-")[0] for name in shown}
    for item in FOUND["items"]:
        if item["id"] in drawn:
            assert f"### {item['number']}: {item['title']}\n" in text
    pictured = {item["id"] for item in FOUND["items"] if item["pictures"]}
    assert {item.id for item in ITEMS if not item.needs} & pictured <= drawn


def numbers(item: str) -> dict[str, float]:
    """Ours, by what they are called."""
    [found] = [one for one in FOUND["items"] if one["id"] == item]
    return {number["what"]: number["ours"] for number in found["numbers"]}


def test_table_1_of_the_decoded_filters() -> None:
    ours = numbers("filters-table-1")
    for layer in filters.PUBLISHED:
        cells = [
            f"{ours[filters.what(layer, how)]:.4f} ± {ours[filters.spread(layer, how)]:.4f}"
            for how in filters.UNPOOLS
        ]
        assert f"| {layer} | {' | '.join(cells)} |" in PAGE


def test_the_characters_that_decoded_filters_recognise() -> None:
    ours = numbers("filters-characters")
    assert ours[filters.RECOGNISED] == 1
    assert all(ours[filters.LIKE.format(how)] == 1 for how in filters.UNPOOLS)
    alone = [round(16 * ours[filters.ALONE.format(how)]) for how in filters.UNPOOLS]
    assert alone[0] == 16 and f"bilinear {alone[1]}, bicubic {alone[2]}" in PAGE


def test_table_1_of_the_salient_networks() -> None:
    ours = numbers("salinet-table-1")

    def shown(measure: str, method: str) -> str:
        return f"{ours[objects.what(measure, method)]:.3f}"

    rule = "mean IoU, the authors' rule"
    first = shown(rule, "desalinet"), shown(rule, "salinet"), shown(rule, objects.BLOB)
    page = PAGE.replace("\n  ", " ")
    assert (
        "DeSaliNet has a mean IoU of {}, SaliNet {}, a Gaussian blob in the middle {}".format(
            *first
        )
        in page
    )
    own = (shown("mean IoU", name) for name in ("desalinet", objects.BLOB, "salinet"))
    assert "DeSaliNet has {}, the blob {}, SaliNet {}".format(*own) in page


def share(item: str, first: str, second: str) -> str:
    """By how many percent the error of the first is below or above the second's, as the page."""
    change = 100 * numbers(item)[salinet.SHARES[first, second]]
    return f"{abs(change):.0f} % {'below' if change < 0 else 'above'} {second}"


def test_what_switches_and_masks_tell() -> None:
    page = PAGE.replace("\n  ", " ")
    zero, trained = "salinet-informativeness-zero", "salinet-informativeness-trained"
    assert (
        f"both are {share(zero, 'both', 'switches')} and "
        f"{share(zero, 'both', 'masks')}, "
        f"and switches {share(zero, 'switches', 'masks')}" in page
    )
    assert (
        f"both are {share(trained, 'both', 'switches')} and {share(trained, 'both', 'masks')}, "
        f"switches {share(trained, 'switches', 'masks')}" in page
    )
    for item in ("salinet-informativeness", zero):
        ours = [numbers(item)[salinet.told_what(name)] for name in ("switches", "masks")]
        assert "{:.3f} and {:.3f}".format(*ours) in page


def test_what_data_there_are() -> None:
    for name, text in NAMES.items():
        assert f"| `{name}` | {text} |" in PAGE


def test_what_the_small_network_learned() -> None:
    """The row of its training is that of its learning curves."""
    (item,) = [item for item in FOUND["items"] if item["id"] == "deconvnet-learning"]
    right, five, _, tested, trained = (number["ours"] for number in item["numbers"])
    cells = f"{trained:.2f} | {tested:.2f} | {right:.1%} | {five:.1%}".replace("%", " %")
    assert any(
        line.startswith("| deconvnet |") and line.endswith(f"| {cells} |")
        for line in PAGE.splitlines()
    )


def test_what_is_left_out() -> None:
    for source in SOURCES.values():
        for text in source.left_out:
            assert text in PAGE.replace("\n  ", " ")
