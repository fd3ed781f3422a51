"""Subcommands of `fovea` that are not pipeline stages."""
