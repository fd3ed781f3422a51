"""Which files a source consists of, with their classes, splits and groups."""
