"""Hold a GPU's memory but 1.2 GB of it: `python3 -m tests.gpu.occupy FILE SECONDS`; FILE appears when it is held."""

import sys
import time
from pathlib import Path

import torch

LEFT = 1_200_000_000  # bytes

torch.zeros(1, device="cuda")  # what CUDA itself takes
free, total = torch.cuda.mem_get_info()
held = torch.empty(free - LEFT, dtype=torch.uint8, device="cuda")
torch.cuda.synchronize()
Path(sys.argv[1]).touch()
print(f"holds {held.nbytes:,} of {total:,} bytes", flush=True)
time.sleep(float(sys.argv[2]))
