"""Faces: detection, crops, tracking and identity."""
