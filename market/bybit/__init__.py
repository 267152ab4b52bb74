"""Bybit's public data: client, store, fetching and the live feed."""
