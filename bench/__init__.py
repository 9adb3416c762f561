"""Measures the service against what it can be compared with, in ratios. Needs Linux: it reads /proc."""
