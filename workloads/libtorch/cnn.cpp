// CNN on CIFAR-10 in libtorch, PyTorch's C++ API.
//
// Images lie in memory with their channels last, which oneDNN's convolutions are the faster with; PyTorch calls it NCHW
// either way.

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <numeric>

#include "../common_cpp/epochs.hpp"
#include "runtime.hpp"

using at::Tensor;
using Labels = bench::ArrayOf<int64_t>;

struct Cnn : torch::nn::Module {
    Cnn(double conv, double dense) : dropout_conv(conv), dropout_dense(dense) {
        register_module("dropout_conv", dropout_conv);
        register_module("dropout_dense", dropout_dense);
    }

    Tensor forward(const Tensor& images) {
        Tensor x = conv1(images).relu_();
        x = at::max_pool2d(conv2(x), 2).relu_();
        x = dropout_conv(x);
        x = conv3(x).relu_();
        x = at::max_pool2d(conv4(x), 2).relu_();
        x = dropout_conv(x);
        x = fc1(x.flatten(1)).relu_();
        return fc2(dropout_dense(x));
    }

    torch::nn::Conv2d conv1 = conv("conv1", 3, 50), conv2 = conv("conv2", 50, 50);
    torch::nn::Conv2d conv3 = conv("conv3", 50, 100), conv4 = conv("conv4", 100, 100);
    torch::nn::Linear fc1 = register_module("fc1", torch::nn::Linear(100 * 8 * 8, 512));
    torch::nn::Linear fc2 = register_module("fc2", torch::nn::Linear(512, 10));
    torch::nn::Dropout dropout_conv, dropout_dense;

  private:
    torch::nn::Conv2d conv(const std::string& name, int64_t in, int64_t out) {
        return register_module(name, torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1)));
    }
};

// SGD with momentum, all weights in one call: what torch.optim.SGD(fused=True) does in Python. The optimizer of the C++
// API, torch::optim::SGD, goes over the weights three times, one by one.
class FusedSgd {
  public:
    FusedSgd(std::vector<Tensor> weights, double lr, double momentum)
        : weights_(std::move(weights)), lr_(lr), momentum_(momentum) {
        for (const Tensor& weight : weights_) velocities_.push_back(at::zeros_like(weight));
    }

    void zero_grad() {
        for (Tensor& weight : weights_) weight.mutable_grad().reset();
    }

    void step() {
        const at::NoGradGuard no_grad;
        std::vector<Tensor> gradients;
        for (const Tensor& weight : weights_) gradients.push_back(weight.grad());
        at::_fused_sgd_(weights_, gradients, velocities_, /*weight_decay=*/0, momentum_, lr_, /*dampening=*/0,
                        /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false);
    }

  private:
    std::vector<Tensor> weights_, velocities_;
    double lr_, momentum_;
};

std::shared_ptr<Cnn> build(bench::Job& job) {
    const bench::Json& settings = job.settings();
    const auto model = std::make_shared<Cnn>(settings.at("dropout_conv"), settings.at("dropout_dense"));
    const auto weights = job.weights();
    for (auto& parameter : model->named_parameters()) {
        const Tensor weight = runtime::tensor(weights.at(parameter.key()));
        parameter->set_data(weight.clone(weight.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous));
    }
    return model;
}

// The weights as they are now, under the names they came with.
std::map<std::string, bench::Array> weights_of(const Cnn& model) {
    std::map<std::string, bench::Array> weights;
    for (const auto& parameter : model.named_parameters()) weights[parameter.key()] = runtime::array(parameter.value());
    return weights;
}

int main() {
    bench::run([](bench::Job& job) {
        runtime::start(job);
        const auto data = job.data<int64_t>(runtime::LAYOUT);
        const auto model = build(job);
        FusedSgd optimizer(model->parameters(), job.settings().at("lr"), job.settings().at("momentum"));

        const auto forward_backward = [&](const bench::Array& x, const Labels& y) {
            optimizer.zero_grad();
            const Tensor loss = at::cross_entropy_loss(model->forward(runtime::images(x)), runtime::tensor(y));
            loss.backward();
            return loss.detach();
        };
        const auto predict = [&](const bench::Array& x) {
            const c10::InferenceMode inference;
            return runtime::array(model->forward(runtime::images(x)));
        };

        // Do once what will be timed: operators choose and load their kernels when they first run. Without an update no
        // weight changes, and dropout draws its masks as if nothing had been drawn.
        job.compiling([&] {
            std::vector<size_t> batch(job.settings().at("batch").get<size_t>());
            std::iota(batch.begin(), batch.end(), 0);
            const bench::Array x = bench::pick(data.x_train, batch);
            forward_backward(x, bench::pick(data.y_train, batch));
            predict(x);
            at::manual_seed(job.seed());
        });
        job.ready();
        const auto weights = [&] { return weights_of(*model); };
        bench::epochs(job, runtime::synchronize, weights, [&](bench::Epoch& epoch) {
            model->train();
            epoch.batches(data.x_train, data.y_train, [&](const bench::Array& x, const Labels& y) {
                const Tensor loss = forward_backward(x, y);
                optimizer.step();
                epoch.step([loss] { return loss.item<double>(); });
            });
            model->eval();
            epoch.score(predict, data.x_test, data.y_test);
        });
    });
}
