"""The command line: app.py lists the verbs, verbs/ holds one module for each, screen.py prints."""
