"""The models that we write, in the runtimes that people deploy."""
