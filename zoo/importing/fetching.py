"""Weights that are only to be had by their address."""

from __future__ import annotations
