"""The command `chart`: a client that knows only the contract of the service."""
