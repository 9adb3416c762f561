"""The standard methods (AIP-131 to 135), written once for all resources."""
