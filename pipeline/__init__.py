"""How one network goes from raw data to the registry."""
