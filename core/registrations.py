"""Modules that register, under a name, what they bring: pairs, bases and the like.

A process that looks such things up calls ``register`` when it starts. Nothing else knows these
modules but their own commands, so each can be left out.
"""

from importlib import import_module

MODULES = ("core.demo.registration",)


def register() -> None:
    """Have each module register what it brings; to do it again does no harm."""
    for name in MODULES:
        import_module(name).register()
