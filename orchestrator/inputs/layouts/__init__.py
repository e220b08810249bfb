"""The public layouts of datasets, and how each is read. A dataset's definition lists those that it takes."""
