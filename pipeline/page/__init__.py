"""Reports as pages that need nothing beside them: the parts that all of them share."""
