"""The gallery: a static site beside a hub's index, which any static host serves.

    index.html              Table II, the plot, all models
    demo.html               encodes and rebuilds a photograph in the page
    gallery/NAME/VERSION    a page for each version, its pictures
    gallery/...             styles, scripts, onnxruntime-web

No page asks another host for anything.
"""

from zoo.gallery.building import build

__all__ = ["build"]
