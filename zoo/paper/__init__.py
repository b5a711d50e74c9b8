"""The paper *Tunnel Effect in CNNs: Image Reconstruction From Max-Switch Locations*.

IEEE SPL 2017: its networks and published figures, reconstruction and its measures, switches as an
image format. How its networks are trained is in `zoo.paper.recipes`, which loads torch.
"""
