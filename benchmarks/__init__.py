"""partwise side by side with installed peers: ``python -m benchmarks``."""
