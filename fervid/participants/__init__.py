"""Participants: who the persons of results are across videos, from photos or by grouping. See docs/participants.md."""
