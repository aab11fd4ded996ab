"""Data maps: how they are recorded, and what is kept of them."""
