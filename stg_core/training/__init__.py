"""What is trained, with which models, and the only loop that trains."""
