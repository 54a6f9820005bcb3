"""Mutated video files, and how a batch handles them: ``python -m tests.fuzz``."""
