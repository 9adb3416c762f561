"""What clients write into `filter` (AIP-160) and `order_by` (AIP-132): read and checked, whatever it is asked of."""
