"""Build self-contained HTML pages."""
