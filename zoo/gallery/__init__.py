"""The gallery: a static site beside a hub's index, which any static host serves.

    index.html              all models, to be searched; of the paper's networks its Table II
    demo.html               a photograph to switches and back, by networks with switches
    gallery/NAME/VERSION    a page for each version, its pictures, and what it reads to run it
    gallery/...             styles, scripts, onnxruntime-web

No page asks another host for anything.
"""

from zoo.gallery.building import Gallery, build

__all__ = ["Gallery", "build"]
