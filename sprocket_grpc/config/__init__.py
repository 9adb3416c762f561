"""What can be set: settings from the environment, what they may be, and what production refuses."""
