"""Bits that one pass holds between A and B: exactly, by automata, with error, by filters."""
