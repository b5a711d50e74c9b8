"""`zoo targets`: for which runtimes a model can be written, and in which form."""

from dataclasses import asdict

from zoo.cli import options


def targets(json: options.Json = False, quiet: options.Quiet = False) -> None:
    """List the runtimes that a model can be written for, and how operators are written there.

    Every target gives the same numbers. How it is known that the runtime computes them: run, by
    tests and benchmarks of this project, or read in the runtime's own list of operators.
    """
    from converters import TARGETS
    from zoo.cli.console import Printer

    say = Printer(json, quiet)
    rows = [asdict(target) for target in TARGETS.values()]
    say.result({"targets": rows})
    forms = [name for name in rows[0]["form"] if name != "name"]
    say.table(
        ["target", "runtime", *forms, "known"],
        [
            [row["name"], row["runtime"], *(row["form"][name] for name in forms), row["proof"]]
            for row in rows
        ],
    )
