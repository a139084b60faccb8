"""Theorem G.22 as explicit weights: Based solves set disjointness on a prompt read twice.

`kernels` and `random_signs` hold the feature maps, `coherence` how few features any can have;
`recurrent_layers` the MLP and linear attention, each in a parallel and a recurrent view;
`theorem_g22` sets their weights and those of a `BaseConv`, one function a lemma.
"""
