"""Does the dream rank policies as the market does?"""
