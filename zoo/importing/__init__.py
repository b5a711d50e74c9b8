"""A folder of Caffe models, as people publish them, into a hub."""
