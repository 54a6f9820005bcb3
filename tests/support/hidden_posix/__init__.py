"""What only POSIX systems have, hidden from an interpreter that has this folder in its PYTHONPATH."""
