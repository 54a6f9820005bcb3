"""Mutated video files, and what a batch makes of them: ``python -m tests.fuzz``."""
