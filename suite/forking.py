"""Forked children compute on one thread."""

from __future__ import annotations

import os
import sys


def keep_children_to_one_thread() -> None:
    """Have PyTorch compute on one thread in every process that this one forks from now on.

    A fork copies the thread that forks and no other. The pool that PyTorch's operations share out
    to is then a pool without threads, and a child that enters it waits for ever. The environments
    enter none, but what else a child may do with PyTorch must not hang either.
    """
    if hasattr(os, "register_at_fork"):  # where there is no fork, nothing is left behind
        os.register_at_fork(after_in_child=_one_thread)


def _one_thread() -> None:
    set_num_threads = getattr(sys.modules.get("torch"), "set_num_threads", None)
    if set_num_threads is not None:
        set_num_threads(1)
