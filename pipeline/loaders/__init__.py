"""The table of data sources, and those that combine several kinds of files or read other libraries."""
