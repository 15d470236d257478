"""What the definitions say, in plain Python, and random questions to compare the engine with it."""
