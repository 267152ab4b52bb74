"""The measured figures of README and docs, held in one file: ``docs/figures.json``.

``python -m benchmarks.figures --candles FOLDER`` runs the commands that print them, as they stand on
the pages, writes what they printed into that file, and from it into every page that shows it and
into ``docs/how_we_know.md``. A page holds a figure between two comments, ``<!-- figure: NAME -->``
and ``<!-- end of figure -->``, and single values of them in its sentences between two of another kind
(``benchmarks/figures/values.py``, ``claims.py``); ``tests/test_figures.py`` fails where the file and a page differ.
"""
