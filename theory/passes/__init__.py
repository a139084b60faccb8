"""Two parties and several passes: rank, bounds, and a recurrent model run as a protocol."""
