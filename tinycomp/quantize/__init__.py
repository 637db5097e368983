"""Float32 models to full-integer int8, by the TFLite specification and from a few hundred typical inputs."""
