"""Reversed networks and what is done with them.

Visualisation, saliency segmentation, decoded filters, the informativeness of bottlenecks.
"""
