"""What is written when a model is saved, and how it is read again."""
