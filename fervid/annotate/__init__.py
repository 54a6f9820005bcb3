"""Annotated videos: results drawn over the videos they come from."""
