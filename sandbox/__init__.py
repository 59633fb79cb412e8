"""A pretend Stripe and a pretend Mavera over real HTTP on loopback, for running the product without any key.

Enters: a size and a seed, or a folder of objects, or a list of subscription histories. Leaves: HTTP answers like
those of the two services, and with `launch.Sandbox` their addresses. Behind the pretend Stripe is a simulated
subscription business (`business`) whose clock does not run: it stands at the account's end until days pass.
Imports nothing of the project; imported by the command line, benchmarks and tests only.
"""
