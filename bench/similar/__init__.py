"""Similar questions: found among a million, and beside what others find them with."""
