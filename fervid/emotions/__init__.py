"""The emotion network: crops to probabilities."""
