"""Training and evaluation of the emotion CNN on FER2013-like data."""

import fervid.emotions.keras_io  # noqa: F401  (loads TensorFlow quietly, before a module here does it aloud)
