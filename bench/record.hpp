// SPDX-License-Identifier: BSL-1.0
#pragma once
// One figure, as a line of JSON. bench/records.py does the same for what Python measures.

#include <cstdio>
#include <string>
#include <string_view>

namespace bench {

/// An object of JSON, built field by field. A figure that isn't finite becomes null.
class Record {
public:
    Record(std::string_view bench, std::string_view params, std::string_view contender) {
        add("bench", bench).add("params", params).add("contender", contender);
    }

    Record& add(std::string_view key, std::string_view text) {
        name(key);
        text_ += '"';
        for (const char c : text) {
            if (c == '"' || c == '\\') text_ += '\\';
            text_ += c;
        }
        text_ += '"';
        return *this;
    }
    Record& add(std::string_view key, const char* text) { return add(key, std::string_view(text)); }
    Record& add(std::string_view key, double value) {
        name(key);
        char digits[32];
        std::snprintf(digits, sizeof digits, "%.6g", value);
        text_ += value - value == 0 ? digits : "null";
        return *this;
    }
    Record& add(std::string_view key, int value) {
        name(key);
        text_ += std::to_string(value);
        return *this;
    }
    std::string text() const { return "{" + text_ + "}"; }

private:
    void name(std::string_view key) {
        if (!text_.empty()) text_ += ", ";
        text_.append("\"").append(key).append("\": ");
    }

    std::string text_;
};

}  // namespace bench
