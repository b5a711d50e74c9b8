"""`python -m zoo` is the `zoo` command."""

import signal


def main() -> None:
    """The entry point of the `zoo` script.

    Until a command is at work there is nothing to clean up: Ctrl-C ends the process at once, and
    not with a traceback of whatever was being loaded.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from zoo.cli import app

    app.main()


if __name__ == "__main__":
    main()
