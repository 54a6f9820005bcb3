"""Engines, which scan the videos of a batch: in worker processes on this machine, or on a Ray cluster."""
