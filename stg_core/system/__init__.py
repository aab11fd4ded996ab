"""What talks to the machine: files, folders, memory, processes."""
