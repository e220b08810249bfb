"""Writes the generated parts of the documents: python -m tests.documents."""

from tests.documents import generated

if __name__ == "__main__":
    for path, text in generated.files().items():
        path.write_text(text, encoding="utf-8")
