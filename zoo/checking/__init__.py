"""Whether a model computes what its network does, and what there is to show for each layer type."""
