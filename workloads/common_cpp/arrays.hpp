/*
Arrays, and the files of NumPy that hold them, .npy and .npz: a part of bench.hpp.
*/
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "events.hpp"

namespace bench {

template <typename Number>
struct ArrayOf {  // C order
    std::vector<size_t> shape;
    std::vector<Number> data;
};

using Array = ArrayOf<float>;

// Numbers in one sample: what stands behind the first axis.
template <typename Number>
size_t sample_size(const ArrayOf<Number>& array) {
    return array.shape.at(0) == 0 ? 0 : array.data.size() / array.shape[0];
}

// The `chosen` samples of an array.
template <typename Number>
ArrayOf<Number> pick(const ArrayOf<Number>& from, const std::vector<size_t>& chosen) {
    const size_t size = sample_size(from);
    ArrayOf<Number> batch{from.shape, {}};
    batch.shape.at(0) = chosen.size();
    batch.data.reserve(chosen.size() * size);
    for (const size_t sample : chosen) {
        if (sample >= from.shape[0]) throw std::out_of_range("there is no sample " + std::to_string(sample));
        const auto first = from.data.begin() + sample * size;
        batch.data.insert(batch.data.end(), first, first + size);
    }
    return batch;
}

// The type of an array's numbers, as NumPy names it.
template <typename Number>
std::string dtype() {
    if constexpr (std::is_same_v<Number, uint8_t>) return "uint8";
    if constexpr (std::is_same_v<Number, int32_t>) return "int32";
    if constexpr (std::is_same_v<Number, int64_t>) return "int64";
    if constexpr (std::is_same_v<Number, float>) return "float32";
    if constexpr (std::is_same_v<Number, double>) return "float64";
}

// The same type in the header of a .npy file.
template <typename Number>
std::string descr() {
    const std::string kind = std::is_floating_point_v<Number> ? "f" : std::is_signed_v<Number> ? "i" : "u";
    return (sizeof(Number) == 1 ? "|" : "<") + kind + std::to_string(sizeof(Number));
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

// The array in a .npy file that begins at `at`.
template <typename Number = float>
ArrayOf<Number> array(const std::string& bytes, size_t at = 0) {
    const bool first = little_endian<uint8_t>(bytes, at + 6) == 1;
    const size_t start = at + (first ? 10 : 12);
    const size_t size = first ? little_endian<uint16_t>(bytes, at + 8) : little_endian<uint32_t>(bytes, at + 8);
    if (bytes.size() < start + size || bytes.compare(at + 1, 5, "NUMPY") != 0) throw Unreadable("this is no .npy file");
    const std::string header = bytes.substr(start, size);
    if (between(header, "'descr': '", "'") != descr<Number>() || between(header, "'fortran_order': ", ",") != "False")
        throw Unreadable("a .npy file holds something else than " + dtype<Number>() + " in C order");
    ArrayOf<Number> found;
    size_t length = 1;
    std::string axis;
    for (const char c : between(header, "'shape': (", ")") + ",") {
        if (c >= '0' && c <= '9') axis += c;
        if (c != ',' || axis.empty()) continue;
        found.shape.push_back(std::stoul(axis));
        length *= found.shape.back();
        axis.clear();
    }
    if ((bytes.size() - start - size) / sizeof(Number) < length) throw Unreadable("a .npy file is truncated");
    found.data.resize(length);
    std::memcpy(found.data.data(), bytes.data() + start + size, length * sizeof(Number));
    return found;
}

// The array in the .npy file at `path`.
template <typename Number = float>
ArrayOf<Number> load(const std::string& path) {
    try {
        return array<Number>(reading(path));
    } catch (const Unreadable& error) {
        throw Unreadable(path + ": " + error.what());
    }
}

// The float32 arrays of a .npz file by name. np.savez compresses nothing.
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

}  // namespace bench
