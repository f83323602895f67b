"""The two families of failure: what a user is shown, and what stays silent.

Knows nothing of models, files or windows.
"""


class UserFacingError(Exception):
    """Something the user can mend. ``str(error)`` is one sentence that says what to do."""


class Cancelled(Exception):
    """The work was no longer wanted. Nobody is told."""
