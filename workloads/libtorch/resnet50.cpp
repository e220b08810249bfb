// ResNet-50 feature extraction in libtorch, PyTorch's C++ API.
//
// The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
// Each convolution is one call of oneDNN together with its ReLU and, at a block's end, the sum: the operators that
// torch.compile makes of such a network. BatchNorm is folded into the convolutions, and oneDNN gets their weights in the
// order that it wants, once.

#include <ATen/core/dispatch/Dispatcher.h>

#include "../common_cpp/bench.hpp"
#include "runtime.hpp"

using at::Tensor;

constexpr double EPSILON = 1e-5;  // of BatchNorm
constexpr int64_t STAGES[][3] = {{3, 64, 1}, {4, 128, 2}, {6, 256, 2}, {3, 512, 2}};  // blocks, width, first stride
constexpr int64_t EXPANSION = 4;

using Numbers = at::IntArrayRef;
using Scalars = c10::List<std::optional<at::Scalar>>;
using Text = std::optional<std::string_view>;
using Bias = std::optional<Tensor>;

// An operator that only has a name: torch.ops.mkldnn in Python.
template <typename Signature>
c10::TypedOperatorHandle<Signature> mkldnn(const char* name, const char* overload = "") {
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

const auto reorder =
    mkldnn<Tensor(const Tensor&, Numbers padding, Numbers stride, Numbers dilation, int64_t groups,
                  at::OptionalIntArrayRef input)>("mkldnn::_reorder_convolution_weight");
const auto convolve =
    mkldnn<Tensor(const Tensor&, const Tensor& weight, const Bias&, Numbers padding, Numbers stride, Numbers dilation,
                  int64_t groups, std::string_view unary, Scalars, Text)>("mkldnn::_convolution_pointwise");
const auto convolve_into =
    mkldnn<Tensor&(Tensor& sum, const Tensor&, const Tensor& weight, const Bias&, Numbers padding, Numbers stride,
                   Numbers dilation, int64_t groups, std::string_view binary, std::optional<at::Scalar>, Text unary,
                   Scalars, Text)>("mkldnn::_convolution_pointwise_", "binary");

// A convolution and the BatchNorm behind it, for inputs of one shape.
class Convolution {
  public:
    // `input`: the shape (n, channels, height, width), which becomes that of the output.
    Convolution(const std::map<std::string, bench::Array>& weights, const std::string& conv, const std::string& norm,
                std::vector<int64_t>& input, int64_t stride, int64_t padding = 0)
        : stride_{stride, stride}, padding_{padding, padding} {
        const auto get = [&](const std::string& name) { return runtime::tensor(weights.at(name)); };
        const Tensor scale = get(norm + ".gamma") / at::sqrt(get(norm + ".var") + EPSILON);
        const Tensor weight = get(conv + ".weight") * scale.view({-1, 1, 1, 1});
        bias_ = get(norm + ".beta") - get(norm + ".mean") * scale;
        weight_ = reorder.call(weight, padding_, stride_, DILATION, 1, input);
        input[1] = weight.size(0);
        for (const int axis : {2, 3}) input[axis] = (input[axis] + 2 * padding - weight.size(axis)) / stride + 1;
    }

    Tensor operator()(const Tensor& x) const { return with(x, "none"); }
    Tensor relu(const Tensor& x) const { return with(x, "relu"); }

    // relu(convolution of x + sum), in the memory of `sum`.
    Tensor add_relu(const Tensor& x, Tensor sum) const {
        return convolve_into.call(sum, x, weight_, bias_, padding_, stride_, DILATION, 1, "add", 1, "relu", Scalars(),
                                  std::nullopt);
    }

  private:
    static constexpr int64_t DILATION[] = {1, 1};

    Tensor with(const Tensor& x, std::string_view unary) const {
        return convolve.call(x, weight_, bias_, padding_, stride_, DILATION, 1, unary, Scalars(), std::nullopt);
    }

    std::vector<int64_t> stride_, padding_;
    Tensor weight_, bias_;
};

struct Bottleneck {
    Convolution conv1, conv2, conv3;
    std::optional<Convolution> shortcut;

    Tensor operator()(const Tensor& x) const {
        const Tensor out = conv2.relu(conv1.relu(x));
        return conv3.add_relu(out, shortcut ? (*shortcut)(x) : x);
    }
};

class ResNet50 {
  public:
    ResNet50(const std::map<std::string, bench::Array>& weights, const std::string& variant, std::vector<int64_t> shape)
        : stem_(weights, "conv1", "bn1", shape, 2, 3) {
        shape[2] /= 2;  // max pooling
        shape[3] /= 2;
        for (size_t stage = 0; stage < std::size(STAGES); stage++) {
            const auto [blocks, width, first_stride] = STAGES[stage];
            for (int64_t block = 0; block < blocks; block++) {
                const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
                const int64_t stride = block == 0 ? first_stride : 1;
                const int64_t stride1 = variant == "v1" ? stride : 1, stride3 = variant == "v1" ? 1 : stride;
                std::optional<Convolution> shortcut;
                if (auto input = shape; weights.count(name + "shortcut.conv.weight"))
                    shortcut.emplace(weights, name + "shortcut.conv", name + "shortcut.bn", input, stride);
                blocks_.push_back({{weights, name + "conv1", name + "bn1", shape, stride1},
                                   {weights, name + "conv2", name + "bn2", shape, stride3, 1},
                                   {weights, name + "conv3", name + "bn3", shape, 1},
                                   std::move(shortcut)});
            }
        }
    }

    Tensor operator()(const Tensor& images) const {
        Tensor x = at::max_pool2d(stem_.relu(images), 3, 2, 1);
        for (const Bottleneck& block : blocks_) x = block(x);
        return x.mean({2, 3});
    }

  private:
    Convolution stem_;
    std::vector<Bottleneck> blocks_;
};

int main() {
    bench::run([](bench::Job& job) {
        runtime::start(job, {"BatchNorm is folded into the convolutions"});
        const auto images = job.images(runtime::LAYOUT);
        const auto weights = job.weights();
        const c10::InferenceMode inference;
        std::optional<ResNet50> model;
        const std::vector<int64_t> shape{job.settings().at("batch"), 3, 224, 224};
        job.compiling([&] { model.emplace(weights, job.settings().at("variant"), shape); });

        const auto features = [&](const bench::Array& batch) { return runtime::array((*model)(runtime::images(batch))); };
        job.ready();
        job.extract(features, images, runtime::synchronize);
    });
}
