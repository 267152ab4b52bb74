"""The account: what an order costs, and what a bar does to it."""
