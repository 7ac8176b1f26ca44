// SPDX-License-Identifier: BSL-1.0
// In which order things run, beside what a browser does with the same program. Run it: turns
#include "examples/turns.hpp"
#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--poller NAME]");
    return example::with_loop(options, [](auto& loop) {
        example::Turns turns(loop);
        if (const auto ran = turns.run(); !ran) return example::report(ran.error());
        turns.print();
        return 0;
    });
}
