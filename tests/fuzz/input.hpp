// SPDX-License-Identifier: BSL-1.0
#pragma once
// The bytes of a fuzzer as numbers, so that every input is a sequence of operations. When they have
// come to their end all numbers are 0.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace rondo::test {

class Input {
public:
    Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

    bool empty() const { return at_ == end_; }
    uint8_t byte() { return empty() ? uint8_t{0} : *at_++; }
    /// Of one or two bytes, whatever the end.
    uint64_t below(uint64_t end) {
        uint64_t value = byte();
        if (end > 256) value = value << 8U | byte();
        return value % end;
    }
    int64_t number() {
        uint64_t value = 0;
        for (int i = 0; i < 8; ++i) value = value << 8U | byte();
        return static_cast<int64_t>(value);
    }
    std::string_view text(size_t most) {
        const auto left = static_cast<size_t>(end_ - at_);
        const std::string_view found(reinterpret_cast<const char*>(at_), most < left ? most : left);
        at_ += found.size();
        return found;
    }
    std::string_view rest() { return text(SIZE_MAX); }

private:
    const uint8_t* at_;
    const uint8_t* end_;
};

/// What must be so; a fuzzer finds an abort.
inline void demand(bool fine, const char* sentence) {
    if (fine) return;
    std::fprintf(stderr, "%s\n", sentence);
    std::abort();
}

}  // namespace rondo::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
