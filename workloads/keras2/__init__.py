"""The workloads in Keras 2.3, the last Keras with a choice of backends. KERAS_BACKEND names the one to use."""

import importlib
import os

if os.environ.get("KERAS_BACKEND") == "cntk":
    importlib.import_module("workloads.cntk")  # makes `import cntk` work, and so `import keras`
