// tiny.py in C++: the same streams, written by bench.hpp and epochs.hpp, must make the same golden streams.

#include <cstdio>
#include <iostream>
#include <limits>
#include <numeric>
#include <string>

#include "../../workloads/common_cpp/epochs.hpp"

void sync() {}

void train(bench::Job& job) {
    job.start("1.0", {{"library", "2.0"}}, {"computes nothing"}, nullptr, false);
    const auto data = job.data("NHWC");
    const auto weights = job.weights();
    job.compiling([] {});
    job.ready();
    std::cout << "a framework's chatter on stdout" << std::endl;
    std::puts("a library's chatter on fd 1");
    std::fflush(stdout);
    const auto predict = [](const bench::Array& x) {
        bench::ArrayOf<double> scores{{x.shape.at(0), 10}, std::vector<double>(x.shape[0] * 10)};
        for (size_t i = 0; i < x.shape[0]; i++) scores.data[i * 10] = 1;
        return scores;
    };
    bench::epochs(job, sync, [&] { return weights; }, [&](bench::Epoch& epoch) {
        epoch.batches(data.x_train, data.y_train, [&](const bench::Array& x, const bench::ArrayOf<int32_t>&) {
            epoch.step([x, &weights] {
                const double sum = std::accumulate(x.data.begin(), x.data.end(), 0.0);
                return sum / static_cast<double>(x.data.size()) + weights.at("bias").data[0];
            });
        });
        epoch.score(predict, data.x_test, data.y_test, true);
    });
    job.artifact("weights", weights.at("bias"));
}

void extract(bench::Job& job) {
    job.start("1.0");
    const auto images = job.images();
    job.ready();
    const auto features = [](const bench::Array& images) {
        double sum = 0;
        for (const float each : images.data) sum += each;
        const size_t batch = images.shape.at(0);
        const float mean = static_cast<float>(sum / static_cast<double>(images.data.size()));
        return bench::Array{{batch, bench::FEATURES}, std::vector<float>(batch * bench::FEATURES, mean)};
    };
    job.extract(features, images, sync);
}

void diverge(bench::Job& job) {
    job.start("1.0");
    const auto data = job.data();
    job.ready();
    bench::epochs(job, sync, [] { return std::map<std::string, bench::Array>(); }, [&](bench::Epoch& epoch) {
        epoch.batches(data.x_train, data.y_train, [&](const auto&, const auto&) {
            epoch.step(std::numeric_limits<double>::quiet_NaN());
        });
    });
}

void refuse(bench::Job& job) {
    job.start("1.0");
    throw bench::NotImplementedError("no such precision");
}

int main(int, char** arguments) {
    const std::map<std::string, void (*)(bench::Job&)> stories{
        {"train", train}, {"extract", extract}, {"diverge", diverge}, {"refuse", refuse}};
    bench::run(stories.at(arguments[1]));
}
