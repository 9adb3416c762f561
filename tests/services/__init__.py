"""What the RPCs do, where it is not the same for all resources."""
