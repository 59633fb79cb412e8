"""The pretend Stripe: lists, look-ups, events, limits and faults over HTTP, whatever account lies behind it."""
