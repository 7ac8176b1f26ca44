// SPDX-License-Identifier: BSL-1.0
#pragma once
// What all connections of `load` read aloud, each from another place: one long text, kept with the
// replies to it, so that asking costs no more than a write, and checking no more than a comparison.

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace example {

/// A text of all byte values that begins anew after `period` bytes, and its upper case or its echo.
class Script {
public:
    static constexpr size_t longest = 65536;  // what can be had in one piece

    explicit Script(bool echo) {
        uint32_t random = 1;
        for (size_t i = 0; i < period; ++i) {
            random = random * 1664525 + 1013904223;
            asked_ += static_cast<char>(random >> 24);
        }
        asked_ += asked_;
        asked_.resize(period + longest);
        for (const char c : asked_) {
            const bool raised = !echo && 'a' <= c && c <= 'z';
            reply_ += raised ? static_cast<char>(c - 'a' + 'A') : c;
        }
    }

    std::string_view asked(size_t at, size_t size) const { return part(asked_, at, size); }
    std::string_view reply(size_t at, size_t size) const { return part(reply_, at, size); }

private:
    static constexpr size_t period = 65537;
    static std::string_view part(std::string_view text, size_t at, size_t size) {
        return text.substr(at % period, std::min(size, longest));
    }

    std::string asked_, reply_;
};

}  // namespace example
