"""Tests that manifests, compose file, image, wheel and stubs of other languages agree with the code."""
