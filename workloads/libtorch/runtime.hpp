// Where a libtorch job runs: its threads, precision and memory; and arrays of the job as tensors.

#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>
#include <torch/version.h>

#include "../common_cpp/bench.hpp"

namespace runtime {

constexpr const char* LAYOUT = "NHWC";  // the order of images in memory that oneDNN's convolutions are the faster with

// Set libtorch up for this job and announce it. Throws NotImplementedError for any precision but fp32.
inline void start(bench::Job& job, const bench::Json& notes = bench::Json::array()) {
    const std::string precision = job.text("precision");
    if (precision != "fp32")
        throw bench::NotImplementedError("these workloads compute in fp32, not in " + precision);
    if (job.text("device") != "cpu") throw bench::NotImplementedError("this image of libtorch is for CPUs");
    // By default, the C library returns large blocks to the system when they are freed, and the system clears their
    // pages for every tensor anew. PyTorch's guide has another allocator for that.
    // https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
    at::set_num_threads(job.threads());
    job.start(TORCH_VERSION, bench::Json::object(), notes);
}

// A tensor that shares the memory of an array.
template <typename Number>
at::Tensor tensor(const bench::ArrayOf<Number>& array) {
    const std::vector<int64_t> shape(array.shape.begin(), array.shape.end());
    return at::from_blob(const_cast<Number*>(array.data.data()), shape, c10::CppTypeToScalarType<Number>::value);
}

// A tensor (n, channels, height, width) that shares the memory of images in LAYOUT.
inline at::Tensor images(const bench::Array& batch) { return tensor(batch).permute({0, 3, 1, 2}); }

// A copy of a tensor as an array.
inline bench::Array array(const at::Tensor& tensor) {
    const at::Tensor whole = tensor.detach().contiguous();
    const float* first = whole.const_data_ptr<float>();
    return {{whole.sizes().begin(), whole.sizes().end()}, {first, first + whole.numel()}};
}

// Wait until the device has finished. A CPU always has.
inline void synchronize() {}

}  // namespace runtime
