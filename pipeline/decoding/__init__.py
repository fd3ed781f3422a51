"""Decode the files of a source on all cores, once."""
