"""`make fuzz`: calls every method of the port with mutated requests, and checks the server and its database."""
