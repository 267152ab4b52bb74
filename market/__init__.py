"""What is wrapped: candles, where they come from, features, and the account that trades them."""
