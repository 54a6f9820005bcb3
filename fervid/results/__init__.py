"""Writing, reading and merging the result tables."""
