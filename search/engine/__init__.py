"""Engines that run the rungs of trials."""
