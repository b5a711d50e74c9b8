"""One file for each command: it validates, calls the libraries, and reports.

A command's file is loaded when that command is run or explained (page.py). Whatever is heavy is
imported inside its function all the same, so that `zoo COMMAND --help` stays quick.
"""
