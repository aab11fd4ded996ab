"""The peers: published ways to tell which tasks to train together.

Orientation everywhere: affinity[source, target] is the effect of training on `source` on the loss
of `target`; positive helps.
"""
