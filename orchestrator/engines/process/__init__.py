"""The process engine: a virtual environment per image, a child process per job."""
