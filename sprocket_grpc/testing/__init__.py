"""For teams that test their own code against this service: pytest fixtures, and what they are made of."""
