"""Numbered claims of the paper and of ours, each with a check on instances; `verify` runs them."""
