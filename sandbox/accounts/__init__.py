"""Other accounts to serve than the simulated one: a folder of objects, or real subscription histories."""
