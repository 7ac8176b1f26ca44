// SPDX-License-Identifier: BSL-1.0
#pragma once
// What every benchmark understands on its command line.

#include <cstdio>
#include <cstdlib>
#include <string>

namespace bench {

struct Options {
    enum class Length { full, quick, smoke };

    Length length = Length::full;
    int pairs = 0;
    std::string json;
    std::string only;  // a part of the parameters' text

    Options(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const std::string word = argv[i];
            const bool more = i + 1 < argc;
            if (word == "--smoke") {
                length = Length::smoke;
            } else if (word == "--quick") {
                length = Length::quick;
            } else if (word == "--pairs" && more && std::atoi(argv[i + 1]) > 0) {
                pairs = std::atoi(argv[++i]);
            } else if (word == "--json" && more) {
                json = argv[++i];
            } else if (word == "--only" && more) {
                only = argv[++i];
            } else {
                std::fprintf(stderr,
                             "usage: %s [--smoke | --quick] [--pairs N] [--only TEXT] "
                             "[--json FILE]\n",
                             argv[0]);
                std::exit(2);
            }
        }
        if (pairs == 0) pairs = size(15, 5, 2);
    }

    /// What fits the length that was asked for. Smoke: does it run? Quick: a first impression.
    template <class T>
    T size(T full, T quick, T smoke) const {
        return length == Length::full ? full : length == Length::quick ? quick : smoke;
    }
    bool smoke() const { return length == Length::smoke; }
    bool wants(const std::string& params) const { return params.find(only) != std::string::npos; }
};

}  // namespace bench
