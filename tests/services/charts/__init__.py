"""Charts, as their streams give them."""
