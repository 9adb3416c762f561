"""What is deployed agrees with the code: manifests, compose, image, wheel, stubs of other languages."""
