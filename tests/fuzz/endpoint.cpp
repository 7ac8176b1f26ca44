// SPDX-License-Identifier: BSL-1.0
// Endpoint: what it reads it prints as something that it reads as the same, and no text harms it.
#include <rondo/core/endpoint.hpp>

#include <string>

#include "fuzz/input.hpp"

using rondo::Endpoint;
using rondo::test::demand;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text = rondo::test::Input(data, size).rest();
    const auto read = Endpoint::parse(text);
    if (!read) {
        demand(read.error() == EINVAL || read.error() == ENAMETOOLONG, "another error");
        return 0;
    }
    const auto printed = read->text();
    const auto again = Endpoint::parse(printed.view());
    demand(static_cast<bool>(again), "what it prints it doesn't read");
    demand(*again == *read, "what it reads back is another endpoint");
    demand(again->text().view() == printed.view(), "it prints the same in two ways");
    if (read->is_ip()) demand(read->with_port(0).port() == 0, "the port isn't what was set");
    return 0;
}
