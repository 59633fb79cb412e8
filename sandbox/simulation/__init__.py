"""The simulated subscription business: who signs up, what they pay, why they leave, in Stripe's object shapes."""
