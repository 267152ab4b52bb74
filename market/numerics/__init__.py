"""Compiled arithmetic: the same bits every time."""
