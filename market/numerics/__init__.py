"""Compiled arithmetic: the same bits every time. All of it is private to the package."""

__all__: list[str] = []
