"""Text descriptions of architectures."""
