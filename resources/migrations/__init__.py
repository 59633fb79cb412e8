"""Steps of the state database from one schema to the next, forward only; run by `State.migrate`."""
