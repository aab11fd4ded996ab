"""Results on disk, and as files to take along."""
