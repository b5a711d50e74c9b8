"""The layers' PyTorch modules, one file for each family of `converters/layers/` that has some.

The only files beside `converters/torch_backend.py` that load torch. A module is told all that it
needs as numbers, names and arrays, and imports nothing of the layer types: what is saved by
`torch.save` is found again by its name here, whatever the layer types look like by then. The keys
of its state_dict are the names of the layer's blobs.
"""
