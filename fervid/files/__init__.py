"""File paths, file names and safe writing."""
