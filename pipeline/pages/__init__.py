"""The parts of an HTML page that needs nothing beside it."""
