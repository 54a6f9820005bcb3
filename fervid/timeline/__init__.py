"""Timelines of a face: gaps, interpolation, smoothing, episodes and statistics."""
