"""The gallery: a static site beside a hub's index, which any static host serves.

    index.html              all models, to be searched; of the paper's networks its Table II
    demo.html               a photograph to switches and back, where the paper's networks are there
    gallery/NAME/VERSION    a page for each version, its pictures, and what it reads to run the model
    gallery/...             styles, scripts, onnxruntime-web

No page asks another host for anything.
"""

from zoo.gallery.building import build

__all__ = ["build"]
