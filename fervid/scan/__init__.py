"""Scanning: one video → face tracks and crops."""
