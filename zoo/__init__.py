"""What a person touches: the `zoo` command and the paper's architectures.

`zoo.architectures` is the Python side of the paper; everything else here serves the command line.
Heavy packages are imported inside the functions that need them, so that `zoo --help` stays quick.
"""

__version__ = "0.1.0"
