"""Every chart of the app, a module per page."""
