"""Every row against its framework's own best known way to do the same: `make peers`.

A peer is a script as the framework's documentation or examples would have it, with nothing of workloads/ in it. It
lies in a folder with the name of the framework, in a file with the name of the workload, runs in the row's image, and
takes its settings, data and report from common/peer.py. What it follows stands at its head, with the address.
"""
