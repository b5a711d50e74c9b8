"""Everything that wants a CUDA device."""
