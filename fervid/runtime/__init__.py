"""The machine and its libraries: cores, memory, OpenCV, onnxruntime and packaged weights."""
