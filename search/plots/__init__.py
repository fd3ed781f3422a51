"""Static and interactive plots of a study."""
