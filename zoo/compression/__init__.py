"""Switches as a code for images: networks made for small files, and their training."""
