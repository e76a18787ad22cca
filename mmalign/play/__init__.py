"""A page on this machine that asks a model about pictures, and gives it new classes.

Nothing here is imported before ``mmalign play`` is called: it needs the extra 'play'.
"""
