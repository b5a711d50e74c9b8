"""Errors of running a model.

ZooError (prototxt.errors)
└── InferenceError     a model that cannot be run, or an image or array that does not fit it
"""

from __future__ import annotations

from prototxt.errors import ZooError

__all__ = ["InferenceError"]


class InferenceError(ZooError):
    """What cannot be run, and what to do about it."""
