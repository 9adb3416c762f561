"""Programs that generate files of this repository and run its examples."""
