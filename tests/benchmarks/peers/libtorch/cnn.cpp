// A small CNN in PyTorch's C++ frontend: a Sequential, and torch::optim::SGD.
//
// https://docs.pytorch.org/cppdocs/frontend.html
// https://docs.pytorch.org/tutorials/advanced/cpp_frontend.html
#include <torch/nn.h>
#include <torch/optim/sgd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

using namespace torch;

int main() {
    std::ifstream file(std::getenv("BENCH_SPEC"));
    const auto settings = nlohmann::json::parse(file).at("settings");
    const int64_t batch = settings.at("batch"), samples = settings.at("train_samples");
    const auto conv = [](int64_t in, int64_t out) { return nn::Conv2d(nn::Conv2dOptions(in, out, 3).padding(1)); };
    const double of_conv = settings.at("dropout_conv"), of_dense = settings.at("dropout_dense");
    nn::Sequential net(
        conv(3, 50), nn::ReLU(true), conv(50, 50), nn::MaxPool2d(2), nn::ReLU(true), nn::Dropout(of_conv),
        conv(50, 100), nn::ReLU(true), conv(100, 100), nn::MaxPool2d(2), nn::ReLU(true), nn::Dropout(of_conv),
        nn::Flatten(), nn::Linear(6400, 512), nn::ReLU(true), nn::Dropout(of_dense), nn::Linear(512, 10));
    optim::SGD optimizer(
        net->parameters(), optim::SGDOptions(settings.at("lr").get<double>()).momentum(settings.at("momentum")));
    const Tensor images = at::rand({samples, 3, 32, 32}), classes = at::randint(10, {samples}, at::kLong);

    const auto train = [&](const Tensor& order) {
        for (const Tensor& chosen : order.split(batch)) {
            optimizer.zero_grad();
            const Tensor scores = net->forward(images.index_select(0, chosen));
            nn::functional::cross_entropy(scores, classes.index_select(0, chosen)).backward();
            optimizer.step();
        }
    };
    net->train();
    train(at::arange(2 * batch));
    const auto began = std::chrono::steady_clock::now();
    train(at::randperm(samples, at::kLong));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    std::cout << nlohmann::json{{"samples", samples}, {"seconds", seconds.count()}} << std::endl;
}
