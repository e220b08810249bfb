"""This machine's CPU, and what it takes for a library that is older than the CPU to run its best code there."""

import os


def words(cpuinfo="/proc/cpuinfo"):
    """What Linux says of the first CPU, word by word: its maker's name and its flags are among them."""
    with open(cpuinfo, encoding="utf-8") as file:
        return set(file.read().partition("\n\n")[0].split())


def overruled(variable, library):
    """What a result must say of a library whose choice of code an environment `variable` overrules: a list of notes."""
    code = os.environ.get(variable)
    return ["{}={} overrules {}'s choice of code for this CPU".format(variable, code, library)] if code else []
