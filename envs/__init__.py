"""The market wrapped twice: replayed and dreamed, one lane or many."""
