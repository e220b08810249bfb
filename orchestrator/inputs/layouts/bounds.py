"""What a folder or an archive of a user may cost to read."""

LARGEST = 1 << 30  # bytes that an archive may unpack to, and that are read of a folder; public data have half of it
MOST_FILES = 400_000  # four times those of the largest public archive, aclImdb
