"""Decoding, encoding, frame times and shots."""
