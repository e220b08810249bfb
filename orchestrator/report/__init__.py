"""Results → tables (pure, tables.py) → terminal, Markdown, CSV, JSON and HTML (one module each in formats/)."""
