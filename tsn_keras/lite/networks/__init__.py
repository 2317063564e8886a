"""The Keras network, rewritten before it is converted."""
