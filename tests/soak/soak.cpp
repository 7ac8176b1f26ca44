// SPDX-License-Identifier: BSL-1.0
// A long life in short: on a real kernel clients connect, talk, dawdle, reset and are reset,
// threads post, timers fire. Again and again everything comes to rest, and then there must be what
// there was before: no reply lost, no closure lost, no descriptor more, no memory more.
//
// usage: soak [--minutes N] [--seed N]

#include <dirent.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "soak/clients.hpp"
#include "soak/server.hpp"

namespace {

constexpr int warm_up = 2;                    // rounds in which memory may still grow
constexpr size_t slack = size_t{256} * 1024;  // bytes that a round may need more than those

size_t descriptors() {
    DIR* const directory = opendir("/proc/self/fd");
    size_t count = 0;
    while (directory != nullptr && readdir(directory) != nullptr) ++count;
    closedir(directory);
    return count;
}

/// Posts in bursts, and waits for the end of each, so that the loop also sleeps.
void produce(soak::EchoServer& server, const std::atomic<bool>& going, uint64_t& posted,
             uint64_t seed) {
    rondo::Remote door = server.door();
    rondo::sim::Random random(seed);
    while (going) {
        const auto open = std::make_shared<std::atomic<uint64_t>>(1 + random.below(100));
        for (uint64_t left = *open; left > 0; --left, ++posted) {
            door.post([&server, open] {
                server.count();
                if (--*open == 0) open->notify_one();
            });
        }
        for (uint64_t left = *open; left != 0; left = *open) open->wait(left);
    }
}

/// One thing that must hold at the end of a round.
bool check(bool holds, const char* what) {
    if (!holds) std::printf("not so: %s\n", what);
    return holds;
}

class Soak {
public:
    Soak(uint64_t seed, rondo::Duration round)
        : seed_(seed), round_(round), clients_(loop_, server_.address(), seed) {}

    /// False if something isn't as it should be.
    bool round(int number) {
        run();
        const soak::Seen seen = server_.seen();
        const soak::Done& done = clients_.done();
        const struct mallinfo2 heap = mallinfo2();
        const size_t memory = heap.uordblks + heap.hblkhd, open = descriptors();
        std::printf(
            "round %d: %llu visits, %llu replies, %llu MB, %llu posts, %llu timers; "
            "%zu KB in use, %zu descriptors\n",
            number, count(done.visits), count(done.replies), count(seen.bytes >> 20U),
            count(posted_), count(done.fired), memory / 1024, open);
        std::fflush(stdout);
        if (number <= warm_up) {
            memory_ = std::max(memory_, memory);
            descriptors_ = open;
        }
        bool fine = check(done.lost == 0 && done.wrong == 0, "every reply came whole");
        fine &= check(done.refused == 0, "every client was let in");
        fine &= check(done.fired == done.armed && done.early == 0, "every timer fired, none early");
        fine &= check(seen.posted == posted_, "everything posted has run, once");
        fine &= check(seen.opened == seen.closed && seen.there == 0, "on_close for every on_open");
        fine &= check(seen.opened == done.visits, "the server has met every client");
        fine &= check(open == descriptors_, "descriptors are flat");
        fine &= check(memory <= memory_ + slack, "memory is flat");
        return fine;
    }

private:
    static unsigned long long count(uint64_t number) { return number; }

    void run() {
        std::atomic<bool> going = true;
        uint64_t posted[2] = {};
        {
            seed_ += 2;
            std::jthread one([&] { produce(server_, going, posted[0], seed_); });
            std::jthread two([&] { produce(server_, going, posted[1], seed_ + 1); });
            clients_.run_for(round_);
            going = false;
        }
        posted_ += posted[0] + posted[1];
    }

    uint64_t seed_;
    rondo::Duration round_;
    soak::EchoServer server_;
    soak::Loop loop_;
    soak::Clients clients_;
    uint64_t posted_ = 0;
    size_t memory_ = 0, descriptors_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    double minutes = 1;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view word = argv[i];
        if (i + 1 < argc && word == "--minutes") {
            minutes = std::atof(argv[i + 1]);
        } else if (i + 1 < argc && word == "--seed") {
            seed = std::strtoull(argv[i + 1], nullptr, 10);
        } else {
            std::fprintf(stderr, "usage: soak [--minutes N] [--seed N]\n");
            return 2;
        }
    }
    const auto milliseconds = static_cast<int64_t>(minutes * 60'000);
    const auto length = rondo::Duration::milliseconds(milliseconds);
    const rondo::Instant end = rondo::monotonic_now() + length;
    Soak soak(seed, rondo::Duration::milliseconds(std::min<int64_t>(milliseconds / 6, 5000)));
    bool fine = true;
    int rounds = 0;
    while (fine && (rounds <= warm_up || rondo::monotonic_now() < end)) {
        fine = soak.round(++rounds);
    }
    std::printf("soak: seed %llu, %d rounds, %s\n", static_cast<unsigned long long>(seed), rounds,
                fine ? "all as it was" : "FAILED");
    return fine ? 0 : 1;
}
