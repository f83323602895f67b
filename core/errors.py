"""The two families of failure: those a user is told of, and those that stay silent.

Knows nothing of models, files or windows.
"""


class UserFacingError(Exception):
    """An error that the user can mend. ``str(error)`` is one sentence that says what to do."""


class Cancelled(Exception):
    """The end of work that is no longer wanted. Nobody is told."""
