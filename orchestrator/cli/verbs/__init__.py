"""One module for each verb or family of verbs. app.py registers their functions as commands."""
