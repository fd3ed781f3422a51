"""Immutable architecture definitions, with their geometry, Keras models and files."""
