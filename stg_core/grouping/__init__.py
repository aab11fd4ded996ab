"""Which tasks belong together: memberships, the number of clusters, layouts, agreement."""
