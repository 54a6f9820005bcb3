"""Training and evaluation of the emotion CNN on FER2013-like data."""

import fervid.model  # noqa: F401  (loads TensorFlow quietly, before a module here does it aloud)
