"""Analysing many videos: planning, running, resuming and reporting a batch."""
