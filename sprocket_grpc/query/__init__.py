"""Parses and checks `filter` (AIP-160) and `order_by` (AIP-132), independent of resources and SQL."""
