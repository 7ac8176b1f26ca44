// SPDX-License-Identifier: BSL-1.0
// What does it cost to hand a closure of 16 bytes to a loop on another thread? One producer or two,
// each with a Remote of its own, beside what one would write by hand: a mutex and a vector of
// 24-byte records that the consumer swaps with an empty one; the producer wakes the consumer only
// if the vector was empty, by an eventfd that epoll_wait waits for, or by uv_async_send. Both
// vectors keep their memory.
//
// The producers share one processor and the loop has another. The time is that of the whole round,
// from waking the producers until the last closure has run, per closure. A producer that is ahead
// by its share of 20 000 closures sleeps until half of it is done: without that bound the figures
// would be those of page faults, and with it all memory is warm after the first round.
//
// It also tells how often a wake-up was written per 1000 posts. rondo may write one per sleep of
// the loop and no more; anything above is an error.

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/loop/event_loop.hpp>

#include "bench/harness.hpp"

#if RONDO_BENCH_HAS_LIBUV
#include <uv.h>
#endif

namespace {

[[noreturn]] void fail(const char* call) {
    std::perror(call);
    std::exit(1);
}

// The first processor that this process may use is the loop's, the second the producers'.
class Processors {
public:
    Processors() {
        if (sched_getaffinity(0, sizeof allowed_, &allowed_) != 0) fail("sched_getaffinity");
    }
    bool two() const { return CPU_COUNT(&allowed_) >= 2; }
    void pin(int which) const {
        if (!two()) return;
        size_t number = 0;
        for (int left = which; !CPU_ISSET(number, &allowed_) || left-- > 0;) ++number;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(number, &one);
        if (sched_setaffinity(0, sizeof one, &one) != 0) fail("sched_setaffinity");
    }

private:
    cpu_set_t allowed_{};
};

// What one producer has sent and the consumer has done. Only now and then is that made public, so
// that the threads don't quarrel about it.
struct alignas(64) Lane {
    static constexpr uint64_t public_every = 1024;
    uint64_t done = 0;
    uint64_t total = 0;
    alignas(64) std::atomic<uint64_t> seen{0};
};

struct Work {
    Lane* lane;
    uint64_t value;

    void operator()() const {
        lane->total += value;
        if (++lane->done % Lane::public_every == 0) {
            lane->seen.store(lane->done, std::memory_order_release);
        }
    }
};
static_assert(sizeof(Work) == 16);

struct Plan {
    size_t producers;
    uint64_t posts;  // of each producer in a round
    const Processors& processors;
};

// Threads that post through a door of their own (a copy of the one given) when a round starts.
template <class Door>
class Producers {
public:
    Producers(const Plan& plan, const Door& door)
        : plan_(plan), lanes_(std::make_unique<Lane[]>(plan.producers)) {
        for (size_t i = 0; i < plan.producers; ++i) {
            threads_.emplace_back(
                [this, own = Door(door), lane = &lanes_[i]]() mutable { work(own, *lane); });
        }
    }
    Producers(const Producers&) = delete;
    Producers& operator=(const Producers&) = delete;
    ~Producers() {
        last_ = true;
        next_round();
        for (std::thread& thread : threads_) thread.join();
    }

    void start() {
        goal_ += plan_.posts;
        next_round();
    }
    bool done() const {
        for (size_t i = 0; i < plan_.producers; ++i) {
            if (lanes_[i].done != goal_) return false;
        }
        return true;
    }
    uint64_t take_checksum() {
        uint64_t sum = 0;
        for (size_t i = 0; i < plan_.producers; ++i) {
            sum = sum * 31 + std::exchange(lanes_[i].total, 0);
        }
        return sum;
    }

private:
    static constexpr uint64_t most_waiting = 20000;

    void next_round() {
        round_.fetch_add(1, std::memory_order_release);
        round_.notify_all();
    }

    void work(Door& door, Lane& lane) {
        plan_.processors.pin(1);
        const uint64_t share = most_waiting / plan_.producers;
        uint64_t sent = 0;
        for (uint32_t round = 0;; ++round) {
            round_.wait(round, std::memory_order_acquire);
            if (last_) return;
            for (uint64_t i = 0; i < plan_.posts; ++i) {
                door.post(Work{&lane, i});
                if (++sent % 256 == 0 && ahead(lane, sent) > share) wait_for(lane, sent, share / 2);
            }
        }
    }
    static uint64_t ahead(const Lane& lane, uint64_t sent) {
        return sent - lane.seen.load(std::memory_order_acquire);
    }
    static void wait_for(const Lane& lane, uint64_t sent, uint64_t most) {
        while (ahead(lane, sent) > most) std::this_thread::sleep_for(std::chrono::microseconds(20));
    }

    Plan plan_;
    std::unique_ptr<Lane[]> lanes_;
    std::atomic<uint32_t> round_{0};
    bool last_ = false;
    uint64_t goal_ = 0;
    std::vector<std::thread> threads_;
};

// A round of any contender. `turn` waits and runs what there is.
template <class Door, class Turn>
bench::Sample play(const Plan& plan, Producers<Door>& producers, Turn&& turn) {
    const double start = bench::now_ns();
    producers.start();
    while (!producers.done()) turn();
    const double end = bench::now_ns();
    return {(end - start) / static_cast<double>(plan.posts * plan.producers),
            producers.take_checksum()};
}

// Counts the loop's sleeps and the wake-ups that are written; next to a system call that is
// nothing.
class CountingPoller : public rondo::EpollPoller {
public:
    static rondo::Result<CountingPoller> open() {
        auto poller = rondo::EpollPoller::open();
        if (!poller) return poller.error();
        return CountingPoller(std::move(*poller));
    }
    rondo::Result<size_t> wait(std::span<Event> out, rondo::Instant deadline) noexcept {
        if (deadline != rondo::Instant::min()) ++sleeps_;
        return rondo::EpollPoller::wait(out, deadline);
    }
    void wake() noexcept {
        wakes_->fetch_add(1, std::memory_order_relaxed);
        rondo::EpollPoller::wake();
    }
    uint64_t sleeps() const { return sleeps_; }
    uint64_t wakes() const { return wakes_->load(std::memory_order_relaxed); }

private:
    explicit CountingPoller(rondo::EpollPoller poller) : rondo::EpollPoller(std::move(poller)) {}

    uint64_t sleeps_ = 0;
    std::unique_ptr<std::atomic<uint64_t>> wakes_ = std::make_unique<std::atomic<uint64_t>>(0);
};

class OnRondo {
public:
    explicit OnRondo(const Plan& plan) : plan_(plan), producers_(plan, Door{loop_.remote()}) {}

    bench::Sample run() {
        return play(plan_, producers_, [this] { loop_.run_once(); });
    }
    uint64_t wakes() { return loop_.poller().wakes(); }
    uint64_t sleeps() { return loop_.poller().sleeps(); }

private:
    using Loop = rondo::EventLoop<CountingPoller>;
    struct Door {
        Loop::Remote remote;
        void post(const Work& work) {
            if (remote.post(work) != rondo::PostStatus::queued) fail("post");
        }
    };

    Plan plan_;
    Loop loop_;
    Producers<Door> producers_;
};

// The queue that one writes by hand.
class MutexQueue {
public:
    // True: it was empty, wake the consumer.
    bool push(const Work& work) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const bool was_empty = in_.empty();
        in_.push_back({[](const Work& w) { w(); }, work});
        return was_empty;
    }
    void run() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            in_.swap(out_);
        }
        for (const Record& record : out_) record.call(record.work);
        out_.clear();
    }

private:
    struct Record {
        void (*call)(const Work&);
        Work work;
    };
    static_assert(sizeof(Record) == 24);

    std::mutex mutex_;
    std::vector<Record> in_;
    alignas(64) std::vector<Record> out_;
};

class OnEventfd {
public:
    explicit OnEventfd(const Plan& plan) : plan_(plan) {
        epoll_event event{};
        event.events = EPOLLIN;
        if (epoll_ctl(set_, EPOLL_CTL_ADD, wake_, &event) != 0) fail("epoll_ctl");
        producers_ = std::make_unique<Producers<Door>>(plan_, Door{this});
    }
    OnEventfd(const OnEventfd&) = delete;
    OnEventfd& operator=(const OnEventfd&) = delete;
    ~OnEventfd() {
        producers_.reset();
        close(set_);
        close(wake_);
    }

    bench::Sample run() {
        return play(plan_, *producers_, [this] {
            epoll_event event{};
            uint64_t count = 0;
            if (epoll_wait(set_, &event, 1, -1) != 1) fail("epoll_wait");
            if (read(wake_, &count, sizeof count) != sizeof count) fail("read");
            queue_.run();
        });
    }
    uint64_t wakes() const { return wakes_.load(std::memory_order_relaxed); }

private:
    struct Door {
        OnEventfd* to;
        void post(const Work& work) {
            if (!to->queue_.push(work)) return;
            const uint64_t one = 1;
            to->wakes_.fetch_add(1, std::memory_order_relaxed);
            if (write(to->wake_, &one, sizeof one) != sizeof one) fail("write");
        }
    };

    Plan plan_;
    int set_ = epoll_create1(EPOLL_CLOEXEC);
    int wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    std::atomic<uint64_t> wakes_{0};
    MutexQueue queue_;
    std::unique_ptr<Producers<Door>> producers_;
};

#if RONDO_BENCH_HAS_LIBUV
class OnLibuv {
public:
    explicit OnLibuv(const Plan& plan) : plan_(plan) {
        if (uv_loop_init(&loop_) != 0) fail("uv_loop_init");
        async_.data = this;
        const auto called = [](uv_async_t* async) {
            static_cast<OnLibuv*>(async->data)->queue_.run();
        };
        if (uv_async_init(&loop_, &async_, called) != 0) fail("uv_async_init");
        producers_ = std::make_unique<Producers<Door>>(plan_, Door{this});
    }
    OnLibuv(const OnLibuv&) = delete;
    OnLibuv& operator=(const OnLibuv&) = delete;
    ~OnLibuv() {
        producers_.reset();
        uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
        uv_run(&loop_, UV_RUN_DEFAULT);
        uv_loop_close(&loop_);
    }

    bench::Sample run() {
        return play(plan_, *producers_, [this] { uv_run(&loop_, UV_RUN_ONCE); });
    }

private:
    struct Door {
        OnLibuv* to;
        void post(const Work& work) {
            if (to->queue_.push(work)) uv_async_send(&to->async_);
        }
    };

    Plan plan_;
    uv_loop_t loop_{};
    uv_async_t async_{};
    MutexQueue queue_;
    std::unique_ptr<Producers<Door>> producers_;
};
#endif

void measure(bench::Report& report, const Plan& plan) {
    const std::string params =
        std::to_string(plan.producers) + (plan.producers == 1 ? " producer" : " producers");
    OnEventfd eventfd(plan);
    std::vector<bench::Contender> contenders{{"eventfd", [&] { return eventfd.run(); }, 0}};
#if RONDO_BENCH_HAS_LIBUV
    OnLibuv libuv(plan);
    contenders.push_back({"uv_async", [&] { return libuv.run(); }, 0});
#endif
    OnRondo ours(plan);
    const size_t rivals = contenders.size();
    contenders.push_back({"rondo", [&] { return ours.run(); }, 0.5});
    if (!report.compare(params, contenders, rivals)) return;

    const double rounds = report.options().pairs + 1;  // and the warm-up
    const double thousands = rounds * static_cast<double>(plan.posts * plan.producers) / 1000;
    const auto tell = [&](const char* who, uint64_t wakes) {
        report.tell(params, who, "wake-ups", "per 1000 posts",
                    static_cast<double>(wakes) / thousands);
    };
    tell("eventfd", eventfd.wakes());
    tell("rondo", ours.wakes());
    if (ours.wakes() > ours.sleeps()) {
        report.fail(params + ": rondo wrote " + std::to_string(ours.wakes()) + " wake-ups in " +
                    std::to_string(ours.sleeps()) + " sleeps");
    }
}

}  // namespace

int main(int argc, char** argv) {
    bench::Report report("post", bench::Options(argc, argv));
    if (!RONDO_BENCH_HAS_LIBUV) std::printf("  uv_async: missing (install libuv1-dev)\n");
    const Processors processors;
    if (!processors.two()) std::printf("  one processor for all: the figures say little\n");
    processors.pin(0);
    const uint64_t posts = report.options().smoke ? 50000 : 1000000;
    for (const size_t producers : {1U, 2U}) {
        measure(report, Plan{producers, posts / producers, processors});
    }
    return report.finish();
}
