"""What a real browser does with the web listener. `make browser` installs what these tests need, and runs them."""
