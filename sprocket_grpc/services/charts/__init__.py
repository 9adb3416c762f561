"""The RPCs of charts: the history of a range, then what is added to it."""
