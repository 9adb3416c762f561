"""What the service tells of itself: log lines, traces and metrics. What nobody asked for is not even imported."""
