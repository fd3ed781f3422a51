"""Everything that determines the results of a study."""
