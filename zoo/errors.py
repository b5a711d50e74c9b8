"""Errors of the rooms in `zoo`.

`zoo.cli.failures` has the table from an error to what a person reads.

    ZooError (prototxt.errors)
    └── HubError             a model that is not at hand
        └── TransientError   what may not happen again: it is tried once more
"""

from prototxt.errors import ZooError


class HubError(ZooError):
    """A model that is not at hand or that cannot be had."""


class TransientError(HubError):
    """A failure that may not happen again."""
