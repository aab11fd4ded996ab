"""What the user can mend, said in one sentence."""


class UserError(Exception):
    """A problem whose message says what is wrong and what to do; shown without a stack trace."""


class Cancelled(Exception):
    """A training that its user cancelled; its checkpoint stays, so it can be resumed."""
