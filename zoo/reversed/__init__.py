"""Reversed networks and what is done with them: visualisation, saliency segmentation, decoded
filters, the informativeness of bottlenecks.
"""
