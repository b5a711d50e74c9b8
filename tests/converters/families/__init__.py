"""Published architectures, written anew as small definitions: what a whole family needs."""
