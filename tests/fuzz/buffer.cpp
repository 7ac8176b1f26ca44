// SPDX-License-Identifier: BSL-1.0
// Buffer against a std::string.
#include <rondo/core/buffer.hpp>

#include <span>
#include <string>

#include "fuzz/input.hpp"

using rondo::test::demand;
using rondo::test::Input;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input in(data, size);
    rondo::Buffer<> buffer;
    std::string model;
    while (!in.empty()) {
        const uint64_t operation = in.below(5);
        if (operation <= 1 && model.size() < 100'000) {
            const std::string more(in.below(operation == 0 ? 20 : 5000),
                                   static_cast<char>(in.byte()));
            demand(buffer.append(std::as_bytes(std::span(more))), "there is no memory");
            model += more;
        } else if (operation == 2 && !model.empty()) {
            const size_t count = in.below(model.size() + 1);
            buffer.consume(count);
            model.erase(0, count);
        } else if (operation == 3) {
            buffer.clear();
            model.clear();
        } else if (operation == 4) {
            rondo::Buffer<> other(std::move(buffer));
            demand(buffer.empty(), "something is left behind by a move");
            buffer = std::move(other);
        }
        const auto bytes = buffer.data();
        demand(bytes.size() == model.size() && buffer.size() == model.size() &&
                   buffer.empty() == model.empty(),
               "the sizes differ");
        demand(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == model,
               "the bytes differ");
    }
    return 0;
}
