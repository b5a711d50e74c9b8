"""Tables and figures of four sources, made again: each beside what was published of it."""
