"""From a question to numbers, computed by the database."""
