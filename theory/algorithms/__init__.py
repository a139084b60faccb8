"""Streaming algorithms for set disjointness, with every bit that they hold counted.

    algorithm                         holds, apart from O(log) bits of counters
    OnePass                           all of A, the set that comes first
    JustReadTwice (Algorithm 3)       all of the smaller set
    MultiPass (p copies)              ⌈min / (p-1)⌉ elements of it at a time
    Fingerprint (public coins)        a hash value for each element of A
    KernelAttention (public coins)    f sums of random signs

Every one of them answers either version: whether A and B meet, or (``search``) which element they
share.
"""
