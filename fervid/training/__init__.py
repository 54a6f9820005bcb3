"""Training and evaluation of the emotion network on data like FER2013."""

import fervid.emotions.keras_io  # noqa: F401  it loads TensorFlow without its messages, before another module loads it
