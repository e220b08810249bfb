"""Results → tables (pure, tables.py) → terminal, Markdown, CSV, JSON (one module each)."""
