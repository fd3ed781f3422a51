"""The report on a network: a module for each section of its page."""
