"""The command `chart`: a client of the service like any other, which knows no more of it than the contract says."""
