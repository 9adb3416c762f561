"""`make attack`: each attack of SECURITY.md as a script with a bound, against a server process of its own."""
