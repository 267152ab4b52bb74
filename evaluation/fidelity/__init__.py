"""Is the dream like the market?"""
