"""The market, wrapped twice: replayed from recorded candles, and dreamed by a learned world model.

Importing this package registers ``WorldModelDream-v0`` and ``BybitReplay-v0`` with Gymnasium. It
imports neither torch nor pandas: those load when an environment is made.
"""
