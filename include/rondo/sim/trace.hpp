// SPDX-License-Identifier: BSL-1.0
#pragma once
// Trace: what happened in a world, and when. The hash covers everything from the beginning; two
// runs of one seed have the same, whatever the compiler. The text is kept for the last events only.

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include <rondo/core/text.hpp>
#include <rondo/core/time.hpp>

namespace rondo::inline RONDO_ABI::sim {

/// One thing that happened: to which descriptor of which host, and a number that belongs to it,
/// such as a count of bytes or an errno.
struct Happening {
    Instant at;
    const char* what = "";  // a string literal
    int host = 0;
    int fd = -1;
    int64_t value = 0;
};

class Trace {
public:
    /// Keeps the last `count`.
    explicit Trace(size_t count) : kept_(count) {}

    void note(const Happening& one) {
        mix(static_cast<uint64_t>(one.at.ns()));
        for (const char* c = one.what; *c != '\0'; ++c) mix(static_cast<unsigned char>(*c));
        mix(static_cast<uint64_t>(one.host) << 32U | static_cast<uint32_t>(one.fd));
        mix(static_cast<uint64_t>(one.value));
        if (!kept_.empty()) kept_[count_ % kept_.size()] = one;
        ++count_;
    }

    size_t size() const noexcept { return count_; }
    uint64_t hash() const noexcept { return hash_; }

    /// A line for each that is kept, the oldest first: time in microseconds, host, what, on what.
    std::string text() const {
        std::string all;
        const size_t kept = count_ < kept_.size() ? count_ : kept_.size();
        for (size_t i = count_ - kept; i < count_; ++i) {
            const Happening& one = kept_[i % kept_.size()];
            Text<160> line;
            line.append(static_cast<long long>(one.at.ns() / 1000)).append(" us  host ");
            line.append(one.host).append("  ").append(one.what);
            if (one.fd >= 0) line.append(" fd ").append(one.fd);
            if (one.value != 0) line.append("  ").append(static_cast<long long>(one.value));
            all.append(line.view()).append("\n");
        }
        return all;
    }

private:
    void mix(uint64_t word) noexcept {
        hash_ = (hash_ ^ word) * 0x9E3779B97F4A7C15;
        hash_ ^= hash_ >> 29U;
    }

    std::vector<Happening> kept_;
    size_t count_ = 0;
    uint64_t hash_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::sim
