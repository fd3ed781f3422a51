"""Network architectures: definition, shapes and cost, and their Keras models and files."""
