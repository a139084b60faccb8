"""The sequence mixers: `mixer` is their contract, every other one or helper has a file here."""
