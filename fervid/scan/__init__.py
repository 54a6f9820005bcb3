"""One video to tracks."""
