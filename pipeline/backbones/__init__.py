"""Networks of keras.applications, which take the place of the blocks of an architecture."""
