"""BaseConv layers: what a stack of them can compute, and how many layers recall takes."""
