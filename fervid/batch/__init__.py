"""Whole jobs over many videos."""
