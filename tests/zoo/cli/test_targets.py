"""`zoo targets`: the table of runtimes, and the option that takes their names."""

import converters
from zoo.cli.options import Target


def test_the_table_is_the_librarys(zoo):
    rows = {row["name"]: row for row in zoo("targets", "--json").json["targets"]}
    assert list(rows) == list(converters.TARGETS) == [target.value for target in Target]
    assert rows["cpu"]["form"]["unpooling"] == "MaxUnpool"
    assert rows[converters.DEFAULT_TARGET]["form"] == rows["opencv"]["form"]
    assert {row["form"]["name"] for row in rows.values()} == set(converters.FORMS)
    lines = zoo("targets").out.splitlines()
    assert len(lines) == 1 + len(rows) and lines[0].startswith("target")


def test_a_runtimes_name_is_a_target(zoo, small, tmp_path):
    files = {}
    for target in ("opencv", "portable", "cpu"):
        assert zoo("convert", small, "--target", target, "-o", tmp_path / target).status == 0
        files[target] = (tmp_path / target).read_bytes()
    assert files["opencv"] == files["portable"] != files["cpu"]
