"""The bytes of .tflite files."""
