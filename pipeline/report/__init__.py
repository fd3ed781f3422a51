"""Write the report on a network, with a module for each section of the page."""
