"""Layer types, one family a file; each registers itself when imported."""
