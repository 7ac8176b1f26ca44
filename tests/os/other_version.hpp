// SPDX-License-Identifier: BSL-1.0
#pragma once
// A system of another build of the library, seen through an interface that knows neither.

#include <stdint.h>

class OtherVersion {
public:
    OtherVersion();
    ~OtherVersion();
    OtherVersion(const OtherVersion&) = delete;
    OtherVersion& operator=(const OtherVersion&) = delete;

    bool add_signal(int number);
    void remove_signal(int number);
    uint64_t take_signals();
    static const char* name();

private:
    struct System;
    System* system_;
};
