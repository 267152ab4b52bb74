"""Experimental: dreams and accounts on a GPU, in PyTorch. Never measured on one yet."""
