"""The pretend Mavera: the whole contract with credits, rate limits, and each uncertain reading as a switch."""
