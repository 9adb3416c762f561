"""The command line: one module per command. Client commands know only the contract."""
