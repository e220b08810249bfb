"""Two workloads in Caffe2, as it last appeared inside PyTorch."""
