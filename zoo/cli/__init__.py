"""One file for each command: it validates, calls the libraries, and reports.

Whatever is heavy is imported inside the command, because every file here is loaded for `--help`.
"""
