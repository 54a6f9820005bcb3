"""Reviewing results in a browser: the videos with their faces, and a corrections file that repairs them."""
