/*
The event stream that a workload writes, its clock, and the classes of its failures: a part of bench.hpp.
*/
#pragma once

#include <cxxabi.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

namespace bench {

using Json = nlohmann::ordered_json;

constexpr size_t PART_BYTES = 9000;  // of an array in one line, which base64 makes a third longer

struct Diverged : std::runtime_error { using std::runtime_error::runtime_error; };  // something is not finite
struct Unreadable : std::runtime_error { using std::runtime_error::runtime_error; };  // of what the job was given
struct NotImplementedError : std::runtime_error { using std::runtime_error::runtime_error; };  // the framework cannot

// Seconds on a monotonic clock.
inline double clock() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
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

// The name of an error's type, without this namespace.
inline std::string type_name(const std::exception& error) {
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> name(
        abi::__cxa_demangle(typeid(error).name(), nullptr, nullptr, &status), std::free);
    const std::string text = status == 0 ? name.get() : typeid(error).name();
    return text.rfind("bench::", 0) == 0 ? text.substr(7) : text;
}

// Whether a text says that there is no memory left, in the words of frameworks and the libraries below them; as in
// events.py.
inline bool tells_out_of_memory(const std::string& text) {
    std::string letters;  // without spaces and underscores, in lower case
    for (const char each : text)
        if (each != ' ' && each != '_') letters += static_cast<char>(std::tolower(static_cast<unsigned char>(each)));
    const auto has = [&](const char* words) { return letters.find(words) != std::string::npos; };
    return has("outofmemory") || has("outofgpumemory") || has("oomwhen") || has("resourceexhausted") ||
           has("dsttensorisnotinitialized") || has("cudaerrormemoryallocation") || has("badalloc") ||
           has("cannotallocate") || has("can'tallocate") || has("unabletoallocate") || (has("alloc") && has("fail"));
}

// Tell apart the failures that mean different things to the person who has to act on them.
inline std::string failure_class(const std::exception& error, const std::string& message) {
    if (dynamic_cast<const Diverged*>(&error)) return "diverged";
    if (dynamic_cast<const NotImplementedError*>(&error)) return "unsupported";
    if (tells_out_of_memory(type_name(error) + ": " + message)) return "out_of_memory";
    return dynamic_cast<const Unreadable*>(&error) ? "input" : "exception";
}

}  // namespace bench
