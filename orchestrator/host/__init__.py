"""Facts about this machine: CPU, memory, GPUs, who else uses them. No decisions."""
