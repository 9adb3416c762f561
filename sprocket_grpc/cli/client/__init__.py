"""What all commands share that are clients of the service like any other: they know no more of it than the contract."""
