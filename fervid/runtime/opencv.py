"""Imports OpenCV, or raises MissingLibrary with what to install. All other modules import ``cv2`` from here."""

from __future__ import annotations

from fervid.errors import MissingLibrary

try:
    import cv2 as cv2
except ImportError as error:
    raise MissingLibrary(
        f"OpenCV cannot load a system library ({error}); on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0"
    ) from error

__all__ = ["cv2"]
