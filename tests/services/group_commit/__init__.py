"""Creates of sprockets for one factory at once, which share commits."""
