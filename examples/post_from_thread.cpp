// SPDX-License-Identifier: BSL-1.0
// Threads do the work, the loop collects what they find: no lock anywhere. Run it: post_from_thread
#include <thread>
#include <vector>

#include "examples/options.hpp"

namespace {

constexpr int threads = 4;
constexpr int range = 250'000;

bool prime(int n) {
    for (int i = 2; i * i <= n; ++i) {
        if (n % i == 0) return false;
    }
    return n >= 2;
}

template <class Loop>
void count_primes(Loop& loop) {
    int found = 0;
    int finished = 0;
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) {
        // A Remote of its own for each thread. The loop runs until the last of them is gone.
        workers.emplace_back(
            [remote = loop.remote(), begin = i * range, &found, &finished]() mutable {
                int mine = 0;
                for (int n = begin; n < begin + range; ++n) mine += prime(n) ? 1 : 0;
                remote.post([mine, &found, &finished] {  // runs on the loop's thread
                    found += mine;
                    example::say("%d of %d threads have finished\n", ++finished, threads);
                });
            });
    }
    loop.run();
    example::say("%d primes below %d\n", found, threads * range);
}

}  // namespace

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--poller NAME]");
    return example::with_loop(options, [](auto& loop) {
        count_primes(loop);
        return 0;
    });
}
