"""Many policies at once: what they score, in blocks of work that anybody may compute."""
