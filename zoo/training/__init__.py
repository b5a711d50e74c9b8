"""Training as Caffe's solvers do it. Its modules load torch; import them inside commands only."""
