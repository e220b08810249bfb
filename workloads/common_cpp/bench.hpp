/*
What must be equal in every framework, for workloads of inference in C++: the job, the inputs, the clock, the events.
The counterpart of bench.py, with the same vocabulary:

    bench::run(function)                run a workload: function(job), with errors reported as events
    job.start(version, ...)             say what is running, before anything expensive
    job.images()                        the inference input: an Array for each batch
    job.weights()                       the initial weights by name, as in PROTOCOL.md
    job.compiling(action)               run action(); its time is reported apart
    job.ready()                         everything is built; from here on time counts
    job.extract(features, images, sync) the inference clock: one cold pass, one timed pass
    job.artifact(name, array)           keep a small array beside the result

`sync` waits until the device is idle; it has no default. Needs C++17, nlohmann's json.hpp and OpenSSL's libcrypto
(Debian: nlohmann-json3-dev, libssl-dev). Training is not here: epochs.py shows what it needs.
*/
#pragma once

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sched.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

using Json = nlohmann::ordered_json;

constexpr int PROTOCOL = 2;
constexpr size_t PART_BYTES = 9000;  // of an array in one line, which base64 makes a third longer
constexpr size_t FEATURES = 2048;

struct Diverged : std::runtime_error { using std::runtime_error::runtime_error; };  // features are not finite
struct NotImplementedError : std::runtime_error { using std::runtime_error::runtime_error; };  // the framework cannot
struct Unreadable : std::runtime_error { using std::runtime_error::runtime_error; };  // of what the job was given

struct Array {  // float32, C order
    std::vector<size_t> shape;
    std::vector<float> data;
};

// Seconds on a monotonic clock.
inline double clock() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The bytes of a file that the job was given.
inline std::string reading(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file) throw Unreadable(path + " cannot be read");
    return bytes;
}

template <typename Number>
Number little_endian(const std::string& bytes, size_t at) {
    if (at + sizeof(Number) > bytes.size()) throw Unreadable("a file is truncated");
    Number number;
    std::memcpy(&number, bytes.data() + at, sizeof(Number));  // every CPU that runs this is little-endian
    return number;
}

// The text between two marks in the header of a .npy file.
inline std::string between(const std::string& header, const std::string& mark, const std::string& end) {
    const size_t from = header.find(mark);
    if (from == std::string::npos) throw Unreadable("this is no .npy file");
    return header.substr(from + mark.size(), header.find(end, from + mark.size()) - from - mark.size());
}

// The float32 array in a .npy file that begins at `at`.
inline Array array(const std::string& bytes, size_t at = 0) {
    const bool first = little_endian<uint8_t>(bytes, at + 6) == 1;
    const size_t start = at + (first ? 10 : 12);
    const size_t size = first ? little_endian<uint16_t>(bytes, at + 8) : little_endian<uint32_t>(bytes, at + 8);
    if (bytes.size() < start + size || bytes.compare(at + 1, 5, "NUMPY") != 0) throw Unreadable("this is no .npy file");
    const std::string header = bytes.substr(start, size);
    if (between(header, "'descr': '", "'") != "<f4" || between(header, "'fortran_order': ", ",") != "False")
        throw Unreadable("a .npy file holds something else than float32 in C order");
    Array found;
    size_t length = 1;
    std::string axis;
    for (const char c : between(header, "'shape': (", ")") + ",") {
        if (c >= '0' && c <= '9') axis += c;
        if (c != ',' || axis.empty()) continue;
        found.shape.push_back(std::stoul(axis));
        length *= found.shape.back();
        axis.clear();
    }
    if (bytes.size() - start - size < length * sizeof(float)) throw Unreadable("a .npy file is truncated");
    found.data.resize(length);
    std::memcpy(found.data.data(), bytes.data() + start + size, length * sizeof(float));
    return found;
}

// The arrays of a .npz file by name. np.savez compresses nothing.
inline std::map<std::string, Array> archive(const std::string& bytes) {
    const size_t end = bytes.rfind("PK\x05\x06");  // APPNOTE.TXT, section 4.3.16
    if (end == std::string::npos) throw Unreadable("weights.npz is truncated, or no .npz file");
    std::map<std::string, Array> arrays;
    size_t at = little_endian<uint32_t>(bytes, end + 16);
    for (int left = little_endian<uint16_t>(bytes, end + 10); left > 0; left--) {  // section 4.3.12
        const auto name_length = little_endian<uint16_t>(bytes, at + 28);
        std::string name = bytes.substr(at + 46, name_length);
        if (little_endian<uint16_t>(bytes, at + 10) != 0) throw Unreadable("weights.npz: " + name + " is compressed");
        const size_t local = little_endian<uint32_t>(bytes, at + 42);
        const size_t skipped = little_endian<uint16_t>(bytes, local + 26) + little_endian<uint16_t>(bytes, local + 28);
        arrays[name.substr(0, name.rfind(".npy"))] = array(bytes, local + 30 + skipped);
        at += 46 + name_length + little_endian<uint16_t>(bytes, at + 30) + little_endian<uint16_t>(bytes, at + 32);
    }
    return arrays;
}

// The event stream: one JSON object per line, numbered, written whole. What others print goes to standard error.
class Events {
  public:
    Events() : descriptor_(dup(1)), started_(clock()) { dup2(2, 1); }

    void emit(const std::string& event, const Json& fields = Json::object()) {
        Json record = {{"event", event}, {"seq", sequence_++}, {"t", clock() - started_}};
        record.update(fields);
        write_all(record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    }

    // Write the bytes of the artifact whose event came before.
    void emit_parts(const unsigned char* bytes, size_t size) {
        std::vector<unsigned char> text(4 * (PART_BYTES / 3 + 1) + 1);
        for (size_t first = 0; first < size; first += PART_BYTES) {
            const size_t length = std::min(PART_BYTES, size - first);
            const int written = EVP_EncodeBlock(text.data(), bytes + first, static_cast<int>(length));
            write_all("{\"part\":\"" + std::string(text.begin(), text.begin() + written) + "\"}\n");
        }
    }

  private:
    void write_all(const std::string& text) {
        for (size_t done = 0; done < text.size();) {
            const ssize_t written = write(descriptor_, text.data() + done, text.size() - done);
            if (written < 0 && errno != EINTR) std::_Exit(1);  // nobody reads any more
            done += static_cast<size_t>(std::max<ssize_t>(written, 0));
        }
    }

    int descriptor_;
    int sequence_ = 0;
    double started_;
};

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

// One workload of one framework on one device, with everything it is allowed to know.
class Job {
  public:
    Job(const Json& spec, std::string inputs, Events& events)
        : spec_(spec), inputs_(std::move(inputs)), events_(events), created_(clock()) {
        if (spec.at("protocol") != PROTOCOL)
            throw std::runtime_error("this workload speaks protocol 2, the job " + spec.at("protocol").dump());
    }

    std::string text(const std::string& key) const { return spec_.at(key); }  // framework, device, precision, ...
    const Json& settings() const { return spec_.at("settings"); }             // batch, batches, variant
    int threads() const { return threads_; }

    void start(const std::string& version, Json versions = Json::object(), const Json& notes = Json::array(),
               const Json& device_name = nullptr) {
        versions["compiler"] = __VERSION__;
        events_.emit("start", {{"protocol", PROTOCOL}, {"framework", text("framework")}, {"workload", text("workload")},
                               {"version", version}, {"versions", versions}, {"device", text("device")},
                               {"device_name", device_name}, {"precision", text("precision")}, {"threads", threads_},
                               {"fused", nullptr}, {"denormals", denormals_flushed() ? "flushed" : "kept"},
                               {"notes", notes}});
    }

    std::vector<Array> images() {
        const double began = clock();
        const Array all = array(reading(inputs_ + "/images.npy"));
        const size_t size = all.data.size() / all.shape.at(0);
        std::vector<Array> batches(all.shape[0]);
        for (size_t i = 0; i < batches.size(); i++) {
            const float* first = all.data.data() + i * size;
            batches[i] = {{all.shape.begin() + 1, all.shape.end()}, {first, first + size}};
        }
        load_seconds_ += clock() - began;
        return batches;
    }

    std::map<std::string, Array> weights() {
        const double began = clock();
        auto arrays = archive(reading(inputs_ + "/weights.npz"));
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

    // Time `features(batch)`, an Array (batch, 2048) in host memory, over all of `images`.
    template <typename Features, typename Sync>
    void extract(Features features, const std::vector<Array>& images, Sync sync) {
        Array timed;
        for (const std::string event : {"cold", "inference"}) {
            std::vector<double> seconds;
            for (size_t number = 0; number < images.size(); number++) {
                sync();
                const double began = clock();
                const Array result = features(images[number]);
                sync();
                seconds.push_back(clock() - began);
                check(result, images[number].shape.at(0));
                if (event == "cold" && number < spec_.at("trace").get<size_t>())
                    artifact("features-" + std::to_string(number), result);
                if (number == 0) timed = {{1, FEATURES}, {result.data.begin(), result.data.begin() + FEATURES}};
            }
            double total = 0;
            for (const double each : seconds) total += each;
            const size_t samples = images.size() * images.at(0).shape.at(0);
            events_.emit(event, {{"samples", samples}, {"seconds", total}, {"batch_seconds", seconds}});
        }
        artifact("timed-0", timed);  // shows that what is timed is what was verified
    }

    void artifact(const std::string& name, const Array& array) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(array.data.data());
        const size_t size = array.data.size() * sizeof(float);
        unsigned char digest[SHA256_DIGEST_LENGTH];
        SHA256(bytes, size, digest);
        std::string sha256;
        for (const unsigned char byte : digest) {
            char two[3];
            std::snprintf(two, sizeof(two), "%02x", byte);
            sha256 += two;
        }
        events_.emit("artifact",
                     {{"name", name + ".npy"}, {"dtype", "float32"}, {"shape", array.shape}, {"sha256", sha256}});
        events_.emit_parts(bytes, size);
    }

  private:
    static void check(const Array& features, size_t batch) {
        if (features.shape != std::vector<size_t>{batch, FEATURES} || features.data.size() != batch * FEATURES)
            throw std::runtime_error("features must be an array of shape (batch, 2048)");
        for (const float each : features.data)
            if (!std::isfinite(each)) throw Diverged("features are not finite");
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
    const auto fail = [&](const char* kind, const char* type, const char* message) {
        std::fprintf(stderr, "%s: %s\n", type, message);
        events.emit("error", {{"kind", kind}, {"type", type}, {"message", std::string(message).substr(0, 2000)}});
        std::_Exit(1);
    };
    try {
        Job job(Json::parse(reading(std::getenv("BENCH_SPEC"))), std::getenv("BENCH_INPUTS"), events);
        function(job);
        events.emit("end");
        std::_Exit(0);  // all is said: what a framework does while it is torn down changes nothing
    } catch (const Diverged& error) {
        fail("diverged", "Diverged", error.what());
    } catch (const NotImplementedError& error) {
        fail("unsupported", "NotImplementedError", error.what());
    } catch (const Unreadable& error) {
        fail("input", "Unreadable", error.what());
    } catch (const std::bad_alloc& error) {
        fail("out_of_memory", "bad_alloc", error.what());
    } catch (const std::exception& error) {
        fail("exception", "exception", error.what());
    }
    std::_Exit(1);
}

}  // namespace bench
