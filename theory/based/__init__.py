"""Theorem G.22 as explicit weights: Based solves set disjointness on a prompt read twice.

`kernels` and `random_signs` hold the feature maps, `layers` the MLP and linear attention, each in a
parallel and a recurrent view; `construction` sets their weights and those of a `BaseConv`, one
function a lemma.
"""
