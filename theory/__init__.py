"""Memory bounds for set disjointness, in bits."""

from theory.bounds import one_pass_bits

__all__ = ["one_pass_bits"]
