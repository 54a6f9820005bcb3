"""The emotion network, from face crops to probabilities of seven emotions."""
