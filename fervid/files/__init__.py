"""Paths, names and safe writing."""
