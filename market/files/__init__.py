"""Candles and funding rates in files and frames, as people have them."""
