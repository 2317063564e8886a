"""Dense Keras networks beside a `ContinualModel` with its default settings."""
