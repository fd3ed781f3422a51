"""A network as a value, its arithmetic, and how Keras builds and saves it."""
