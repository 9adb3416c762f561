"""The settings: read from the environment, validated, and checked for production."""
