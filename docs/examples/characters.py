"""A network made by hand, as Caffe's two files: characters.prototxt and characters.caffemodel.

What its filters are, stroke by stroke, stands in `zoo/reproduction/characters.py`.
"""

from pathlib import Path

import prototxt
from zoo.reproduction import characters

if __name__ == "__main__":
    Path("characters.prototxt").write_text(characters.PROTOTXT)
    prototxt.write_weights("characters.caffemodel", characters.weights(), name="Characters")
