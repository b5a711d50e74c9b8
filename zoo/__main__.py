"""`python -m zoo` is the `zoo` command."""

from zoo.cli.app import main

main()
