// The stories of inference, as tiny.py tells them.

#include <string>

#include "../../workloads/common_cpp/bench.hpp"

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
    job.extract(features, images, [] {});
}

void refuse(bench::Job& job) {
    job.start("1.0");
    throw bench::NotImplementedError("no such precision");
}

int main(int, char** arguments) {
    bench::run([&](bench::Job& job) { std::string(arguments[1]) == "extract" ? extract(job) : refuse(job); });
}
