"""Commands of fovea that are no stage."""
