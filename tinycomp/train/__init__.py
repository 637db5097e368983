"""Training of float32 graphs in numpy: gradients, distillation from the user's own model, quantization in the loop."""
