// ResNet-50 features from modules of PyTorch's C++ frontend, in inference mode.
//
// https://docs.pytorch.org/cppdocs/frontend.html
// https://docs.pytorch.org/cppdocs/notes/inference_mode.html
#include <torch/nn.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

using namespace torch;

struct ConvBnImpl : nn::Module {
    ConvBnImpl(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1) {
        const auto options = nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false);
        conv = register_module("conv", nn::Conv2d(options));
        norm = register_module("norm", nn::BatchNorm2d(out));
    }

    Tensor forward(const Tensor& x) { return norm(conv(x)); }

    nn::Conv2d conv{nullptr};
    nn::BatchNorm2d norm{nullptr};
};
TORCH_MODULE(ConvBn);

struct BottleneckImpl : nn::Module {
    BottleneckImpl(int64_t in, int64_t width, int64_t stride) {
        first = register_module("first", ConvBn(in, width, 1, stride));
        second = register_module("second", ConvBn(width, width, 3));
        third = register_module("third", ConvBn(width, 4 * width, 1));
        if (in != 4 * width) shortcut = register_module("shortcut", ConvBn(in, 4 * width, 1, stride));
    }

    Tensor forward(const Tensor& x) {
        const Tensor out = third(second(first(x).relu_()).relu_());
        return (out + (shortcut ? shortcut(x) : x)).relu_();
    }

    ConvBn first{nullptr}, second{nullptr}, third{nullptr}, shortcut{nullptr};
};
TORCH_MODULE(Bottleneck);

int main() {
    std::ifstream file(std::getenv("BENCH_SPEC"));
    const auto settings = nlohmann::json::parse(file).at("settings");
    const int64_t batches = settings.at("batches"), batch = settings.at("batch");
    nn::Sequential net(ConvBn(3, 64, 7, 2), nn::ReLU(true), nn::MaxPool2d(nn::MaxPool2dOptions(3).stride(2).padding(1)));
    int64_t channels = 64, width = 64;
    for (const int64_t blocks : {3, 4, 6, 3}) {
        for (int64_t block = 0; block < blocks; block++) {
            net->push_back(Bottleneck(channels, width, block == 0 && width > 64 ? 2 : 1));
            channels = 4 * width;
        }
        width *= 2;
    }
    net->eval();
    const InferenceMode inference;
    const Tensor images = at::rand({batches, batch, 3, 224, 224});

    const auto features = [&](int64_t number) {
        return net->forward(images[number].contiguous(at::MemoryFormat::ChannelsLast)).mean({2, 3}).contiguous();
    };
    features(0);
    const auto began = std::chrono::steady_clock::now();
    for (int64_t number = 0; number < batches; number++) features(number);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    std::cout << nlohmann::json{{"samples", batches * batch}, {"seconds", seconds.count()}} << std::endl;
}
