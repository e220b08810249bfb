/*
What must be equal in every framework, for workloads in C++: the job, the inputs, the clock, the events. The counterpart
of bench.py, with the same vocabulary:

    bench::run(function)                run a workload: function(job), with errors reported as events
    job.start(version, ...)             say what is running, before anything expensive
    job.data(layout)                    the data set of a training: x_train, y_train, x_test, y_test
    job.images(layout)                  the inference input: an Array for each batch
    job.weights()                       the initial weights by name, as in PROTOCOL.md
    job.compiling(action)               run action(); its time is reported apart
    job.ready()                         everything is built; from here on time counts
    job.extract(features, images, sync) the inference clock: one cold pass, then timed passes
    job.artifact(name, array)           keep a small array beside the result

`sync` waits until the device is idle; it has no default. Needs C++17, nlohmann's json.hpp and OpenSSL's libcrypto
(Debian: nlohmann-json3-dev, libssl-dev). A training includes epochs.hpp, which has its clock, its batches and its score.
*/
#pragma once

#include <openssl/sha.h>
#include <sched.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include <cmath>
#include <limits>

#include "arrays.hpp"
#include "events.hpp"

namespace bench {

constexpr int PROTOCOL = 2;
constexpr size_t MOST_BATCHES = 10000;  // in one pass event
constexpr size_t FEATURES = 2048;

// Flush denormal floats to zero in this thread and all it starts.
inline void flush_denormals() {
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040);  // FTZ and DAZ
#endif
}

// Whether arithmetic in this thread flushes denormals, found by trying.
inline bool denormals_flushed() {
    volatile double smallest = std::numeric_limits<double>::min(), half = 0.5;
    return smallest * half == 0.0;
}

// Number of CPUs this process may run on.
inline int available_cpus() {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

// A data set: images (n, 3, 32, 32) or channels last, float32 in [0, 1], or token ids (n, 150); class numbers (n,).
template <typename Sample, typename Label>
struct Data {
    ArrayOf<Sample> x_train;
    ArrayOf<Label> y_train;
    ArrayOf<Sample> x_test;
    ArrayOf<Label> y_test;
};

// One workload of one framework on one device, with everything it is allowed to know.
class Job {
  public:
    Job(const Json& spec, std::string inputs, Events& events)
        : spec_(spec), inputs_(std::move(inputs)), events_(events), created_(clock()) {
        if (spec.at("protocol") != PROTOCOL)
            throw std::runtime_error("this workload speaks protocol 2, the job " + spec.at("protocol").dump());
    }

    std::string text(const std::string& key) const { return spec_.at(key); }  // framework, device, precision, ...
    const Json& settings() const { return spec_.at("settings"); }             // the workload's own: epochs, batch, ...
    uint64_t seed() const { return spec_.at("seed"); }
    int threads() const { return threads_; }
    size_t trace() const { return spec_.at("trace"); }  // report so many first steps, keep the features of as many batches
    bool learning_curve() const { return spec_.at("learning_curve"); }  // score after every epoch, not only the last
    std::string input(const std::string& file) const { return inputs_ + "/" + file; }
    Events& events() { return events_; }

    void start(const std::string& version, Json versions = Json::object(), const Json& notes = Json::array(),
               const Json& device_name = nullptr, const Json& fused = nullptr) {
        versions["compiler"] = __VERSION__;
        events_.emit("start", {{"protocol", PROTOCOL}, {"framework", text("framework")}, {"workload", text("workload")},
                               {"version", version}, {"versions", versions}, {"device", text("device")},
                               {"device_name", device_name}, {"precision", text("precision")}, {"threads", threads_},
                               {"fused", fused}, {"denormals", denormals_flushed() ? "flushed" : "kept"},
                               {"notes", notes}});
    }

    // The data set, cut to the samples the job asks for. Samples are float for images, int32_t for tokens.
    template <typename Label = int32_t, typename Sample = float>
    Data<Sample, Label> data(const std::string& layout = "NCHW") {
        const double began = clock();
        Data<Sample, Label> all{samples<Sample>("train", layout), labels<Label>("train"),
                                samples<Sample>("test", layout), labels<Label>("test")};
        load_seconds_ += clock() - began;
        return all;
    }

    std::vector<Array> images(const std::string& layout = "NCHW") {
        const double began = clock();
        const Array all = load(input("images.npy"));
        const size_t size = sample_size(all);
        std::vector<Array> batches(all.shape.at(0));
        for (size_t i = 0; i < batches.size(); i++) {
            const auto first = all.data.begin() + static_cast<long>(i * size);
            const Array batch{{all.shape.begin() + 1, all.shape.end()}, {first, first + static_cast<long>(size)}};
            batches[i] = arranged<float>(batch, layout, [](float each) { return each; });
        }
        load_seconds_ += clock() - began;
        return batches;
    }

    std::map<std::string, Array> weights() {
        const double began = clock();
        auto arrays = archive(reading(input("weights.npz")));
        load_seconds_ += clock() - began;
        return arrays;
    }

    template <typename Action>
    void compiling(Action action) {
        const double began = clock();
        action();
        compile_seconds_ += clock() - began;
    }

    void ready() {
        const double build = clock() - created_ - load_seconds_ - compile_seconds_;
        events_.emit("ready", {{"load_s", load_seconds_}, {"build_s", build}, {"compile_s", compile_seconds_}});
    }

    // Time `features(batch)`, an Array (batch, 2048) in host memory, over all of `images`: a cold pass, then timed
    // passes, as many as it takes to be at work for as long as the job asks.
    template <typename Features, typename Sync>
    void extract(Features features, const std::vector<Array>& images, Sync sync) {
        Array timed;
        for (const std::string event : {"cold", "inference"}) {
            const double at_least = event == "cold" ? 0.0 : settings().at("seconds").get<double>();
            std::vector<double> seconds;
            double total = 0;
            while (seconds.empty() || (total < at_least && seconds.size() + images.size() <= MOST_BATCHES))
                for (const Array& batch : images) {
                    sync();
                    const double began = clock();
                    const Array result = features(batch);
                    sync();
                    const size_t number = seconds.size();
                    seconds.push_back(clock() - began);
                    total += seconds.back();
                    check(result, batch.shape.at(0));
                    if (event == "cold" && number < trace()) artifact("features-" + std::to_string(number), result);
                    if (number == 0) timed = {{1, FEATURES}, {result.data.begin(), result.data.begin() + FEATURES}};
                }
            const size_t samples = seconds.size() * images.at(0).shape.at(0);
            events_.emit(event, {{"samples", samples}, {"seconds", total}, {"batch_seconds", seconds}});
        }
        artifact("timed-0", timed);  // shows that what is timed is what was verified
    }

    template <typename Number>
    void artifact(const std::string& name, const ArrayOf<Number>& array) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(array.data.data());
        const size_t size = array.data.size() * sizeof(Number);
        unsigned char digest[SHA256_DIGEST_LENGTH];
        SHA256(bytes, size, digest);
        std::string sha256;
        for (const unsigned char byte : digest) {
            char two[3];
            std::snprintf(two, sizeof(two), "%02x", byte);
            sha256 += two;
        }
        events_.emit("artifact",
                     {{"name", name + ".npy"}, {"dtype", dtype<Number>()}, {"shape", array.shape}, {"sha256", sha256}});
        events_.emit_parts(bytes, size);
    }

  private:
    static void check(const Array& features, size_t batch) {
        if (features.shape != std::vector<size_t>{batch, FEATURES} || features.data.size() != batch * FEATURES)
            throw std::runtime_error("features must be an array of shape (batch, 2048)");
        for (const float each : features.data)
            if (!std::isfinite(each)) throw Diverged("features are not finite");
    }

    // The first `split`_samples of an array; null means all.
    template <typename Number>
    ArrayOf<Number> cut(ArrayOf<Number> array, const std::string& split) const {
        const Json& wanted = settings().at(split + "_samples");
        if (wanted.is_null() || wanted >= array.shape.at(0)) return array;
        const size_t size = sample_size(array);
        array.shape[0] = wanted;
        array.data.resize(array.shape[0] * size);
        return array;
    }

    template <typename Sample>
    ArrayOf<Sample> samples(const std::string& split, const std::string& layout) const {
        const std::string path = input("x_" + split + ".npy");
        if constexpr (std::is_integral_v<Sample>) return cut(load<Sample>(path), split);
        else
            return arranged<float>(cut(load<uint8_t>(path), split), layout,
                                   [](uint8_t each) { return static_cast<float>(each) / 255.0f; });
    }

    template <typename Label>
    ArrayOf<Label> labels(const std::string& split) const {
        const auto stored = cut(load<int32_t>(input("y_" + split + ".npy")), split);
        return {stored.shape, {stored.data.begin(), stored.data.end()}};
    }

    // Images (n, channels, height, width) in `layout`, NCHW or NHWC, each number as `change` makes it.
    template <typename To, typename From, typename Change>
    static ArrayOf<To> arranged(const ArrayOf<From>& images, const std::string& layout, Change change) {
        const bool last = layout == "NHWC";
        if (!last && layout != "NCHW") throw std::runtime_error("layout is NCHW or NHWC, not " + layout);
        const size_t n = images.shape.at(0), channels = images.shape.at(1), height = images.shape.at(2),
                     width = images.shape.at(3), area = height * width;
        ArrayOf<To> result{images.shape, std::vector<To>(images.data.size())};
        if (last) result.shape = {n, height, width, channels};
        for (size_t image = 0; image < n; image++)
            for (size_t channel = 0; channel < channels; channel++) {
                const From* from = images.data.data() + (image * channels + channel) * area;
                To* to = result.data.data() + image * channels * area + channel * (last ? 1 : area);
                for (size_t i = 0; i < area; i++) to[i * (last ? channels : 1)] = change(from[i]);
            }
        return result;
    }

    Json spec_;
    std::string inputs_;
    Events& events_;
    double created_;
    double load_seconds_ = 0, compile_seconds_ = 0;
    int threads_ = available_cpus();
};

// Run the workload `function(job)` for the job described by BENCH_SPEC and end the process.
template <typename Function>
[[noreturn]] void run(Function function) {
    flush_denormals();
    Events events;
    try {
        Job job(Json::parse(reading(std::getenv("BENCH_SPEC"))), std::getenv("BENCH_INPUTS"), events);
        function(job);
        events.emit("end");
        std::_Exit(0);  // all is said: what a framework does while it is torn down changes nothing
    } catch (const std::exception& error) {
        const std::string type = type_name(error), message = std::string(error.what()).substr(0, 2000);
        std::fprintf(stderr, "%s: %s\n", type.c_str(), error.what());
        events.emit("error", {{"kind", failure_class(error, message)}, {"type", type}, {"message", message}});
        std::_Exit(1);
    }
}

}  // namespace bench
