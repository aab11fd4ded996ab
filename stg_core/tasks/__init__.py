"""What is to be learned: task groups and image data sets."""
