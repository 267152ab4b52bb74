"""What happened: performance, density forecasts, comparison, report."""
