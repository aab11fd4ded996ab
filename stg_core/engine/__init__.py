"""Jobs in the background, here or on a cluster, and slow results."""
