"""The one exception that a user sees as a sentence."""


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with ``exit_code``.
    """

    exit_code = 2
