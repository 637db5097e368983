"""Model files of other formats as .tflite, by their own converters."""
