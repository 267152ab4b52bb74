"""A world model whose dreams are streams of exact bars."""
