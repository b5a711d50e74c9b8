"""Changes to a graph: Graph in, Graph out, one file each."""
