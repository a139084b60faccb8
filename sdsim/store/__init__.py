"""Stored runs: `store` writes them whole, `table` reads them as one table."""
