"""The command line: one module per command. Commands that are clients know the contract alone."""
