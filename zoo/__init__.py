"""What a person touches, in rooms by subject; imports point from the last of them to the first.

    data         images, lists, LMDB and HDF5 records
    checking     whether a model computes what its network does
    inspection   what is in a file
    hub          models by name: pull, publish, serve
    training     Caffe's solvers (loads torch)
    paper        the tunnel paper; paper.recipes trains its networks (loads torch)
    reversed     networks reversed: visualisation, segmentation, decoded filters
    gallery      a hub's web pages
    benchmarks   how fast it is, beside what one would use instead
    cli          the `zoo` command: one thin file a command

Heavy packages are imported inside the functions that need them, so that `zoo --help` stays quick.
"""

from prototxt.version import __version__

__all__ = ["__version__"]
