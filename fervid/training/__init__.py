"""Training and evaluation of the emotion CNN on FER2013-like data."""
