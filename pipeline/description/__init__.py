"""An architecture in words."""
