"""Grids of runs: expanded, planned, launched. `sdsim.sweep(…)` is `sdsim.library.sweep`."""

from sdsim.calling import call_as

call_as(__name__, "sdsim.library.sweep")
