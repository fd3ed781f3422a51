"""Which files a source consists of, with their classes, splits, groups and weights."""
