// SPDX-License-Identifier: BSL-1.0
// What does the loop cost per event? N pipes are watched, A of them have a byte in them; every
// event reads its byte and writes one into another pipe. Each of the A tokens runs round its own
// share of the pipes, so tokens never meet in one pipe and every wait finds exactly A events.
//
// The baseline is a hand-written, level-triggered epoll loop in the same process. Variants: plain;
// an idle timer of 10 s re-armed per event (the baseline notes the time of the turn, as such loops
// do); write interest switched on and off in each handler (the baseline calls epoll_ctl each time).

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/loop/event_loop.hpp>

#include "bench/harness.hpp"

namespace {

using Loop = rondo::EventLoop<rondo::EpollPoller>;

struct Shape {
    int pipes;
    int active;
    uint64_t events;
};

[[noreturn]] void fail(const char* call) {
    std::perror(call);
    std::exit(1);
}

// The pipes of a ring, and how far its tokens have come.
struct Ring {
    explicit Ring(const Shape& with) : shape(with), fds(static_cast<size_t>(with.pipes) * 2) {
        for (int i = 0; i < shape.pipes; ++i) {
            if (pipe2(&fds[static_cast<size_t>(i) * 2], O_NONBLOCK) != 0) fail("pipe2");
        }
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring() {
        for (const int fd : fds) close(fd);
    }

    int reader(int pipe) const { return fds[static_cast<size_t>(pipe) * 2]; }
    int writer(int pipe) const { return fds[static_cast<size_t>(pipe) * 2 + 1]; }

    void launch() {
        put_in = handled = checksum = 0;
        for (int i = 0; i < shape.active; ++i) put(i);
    }
    // The last tokens aren't passed on, so that every pipe is empty at the end.
    void put(int pipe) {
        if (put_in == shape.events) return;
        ++put_in;
        if (write(writer(pipe), "x", 1) != 1) fail("write");
    }
    // Takes the token out of a pipe and puts it into the next one of its share. True: go on.
    bool pass(int pipe) {
        char byte = 0;
        if (read(reader(pipe), &byte, 1) != 1) fail("read");
        const int next = pipe + shape.active;
        put(next < shape.pipes ? next : next - shape.pipes);
        checksum += static_cast<uint64_t>(pipe);
        return ++handled < shape.events;
    }

    Shape shape;
    std::vector<int> fds;
    uint64_t put_in = 0;
    uint64_t handled = 0;
    uint64_t checksum = 0;
};

enum class Variant { plain, timer, toggle };

// What a careful programmer writes by hand.
class HandWritten {
public:
    HandWritten(Ring& ring, Variant variant)
        : ring_(ring),
          variant_(variant),
          set_(epoll_create1(EPOLL_CLOEXEC)),
          idle_(static_cast<size_t>(ring.shape.pipes)) {
        for (int i = 0; i < ring.shape.pipes; ++i) control(EPOLL_CTL_ADD, i, EPOLLIN);
    }
    HandWritten(const HandWritten&) = delete;
    HandWritten& operator=(const HandWritten&) = delete;
    ~HandWritten() { close(set_); }

    void run() {
        for (bool more = true; more;) {
            const int timeout = variant_ == Variant::timer ? 10000 : -1;
            const int count = epoll_wait(set_, events_, 1024, timeout);
            if (count < 0) fail("epoll_wait");
            const double now = variant_ == Variant::timer ? bench::now_ns() : 0;
            for (int i = 0; i < count && more; ++i) {
                if ((events_[i].events & EPOLLIN) == 0) continue;
                const int pipe = static_cast<int>(events_[i].data.u32);
                if (variant_ == Variant::timer) idle_[static_cast<size_t>(pipe)] = now;
                if (variant_ == Variant::toggle) {
                    control(EPOLL_CTL_MOD, pipe, EPOLLIN | EPOLLOUT);
                    control(EPOLL_CTL_MOD, pipe, EPOLLIN);
                }
                more = ring_.pass(pipe);
            }
        }
    }

private:
    void control(int operation, int pipe, uint32_t bits) {
        epoll_event event{};
        event.events = bits;
        event.data.u32 = static_cast<uint32_t>(pipe);
        if (epoll_ctl(set_, operation, ring_.reader(pipe), &event) != 0) fail("epoll_ctl");
    }

    Ring& ring_;
    Variant variant_;
    int set_;
    std::vector<double> idle_;
    epoll_event events_[1024];
};

class OnRondo {
public:
    OnRondo(Ring& ring, Variant variant)
        : ring_(ring), idle_(static_cast<size_t>(ring.shape.pipes)) {
        for (int i = 0; i < ring.shape.pipes; ++i) {
            if (variant == Variant::timer) {
                idle_[static_cast<size_t>(i)] = loop_.after(idle_time, [] {});
            }
            add(i, variant).value();
        }
    }

    void run() { loop_.run(); }

private:
    static constexpr auto idle_time = rondo::Duration::seconds(10);

    rondo::Result<void> add(int pipe, Variant variant) {
        const int fd = ring_.reader(pipe);
        if (variant == Variant::timer) {
            return loop_.add(fd, rondo::Interest::read, [this, pipe] {
                loop_.rearm(idle_[static_cast<size_t>(pipe)], loop_.now() + idle_time);
                if (!ring_.pass(pipe)) loop_.stop();
            });
        }
        if (variant == Variant::toggle) {
            return loop_.add(fd, rondo::Interest::read, [this, pipe, fd] {
                loop_.modify(fd, rondo::Interest::read | rondo::Interest::write);
                loop_.modify(fd, rondo::Interest::read);
                if (!ring_.pass(pipe)) loop_.stop();
            });
        }
        return loop_.add(fd, rondo::Interest::read, [this, pipe] {
            if (!ring_.pass(pipe)) loop_.stop();
        });
    }

    Loop loop_;
    Ring& ring_;
    std::vector<rondo::TimerId> idle_;
};

template <class Contender>
bench::Contender contender(const char* name, Ring& ring, Variant variant, double target) {
    auto loop = std::make_shared<Contender>(ring, variant);
    const auto run = [loop, &ring] {
        ring.launch();
        const double start = bench::now_ns();
        loop->run();
        const double end = bench::now_ns();
        return bench::Sample{(end - start) / static_cast<double>(ring.handled), ring.checksum};
    };
    return {name, run, target};
}

const char* name_of(Variant variant) {
    switch (variant) {
        case Variant::plain:
            return "plain";
        case Variant::timer:
            return "idle timer";
        default:
            return "toggle";
    }
}

void measure(bench::Report& report, const Shape& shape, Variant variant, double target) {
    const std::string params =
        std::to_string(shape.pipes) + "/" + std::to_string(shape.active) + " " + name_of(variant);
    Ring ring(shape);
    report.compare(params, {contender<HandWritten>("raw", ring, variant, 0),
                            contender<OnRondo>("rondo-epoll", ring, variant, target)});
}

// For a count of instructions: one contender alone, no clock.
void count(const char* who, const Shape& shape) {
    Ring ring(shape);
    ring.launch();
    if (std::strcmp(who, "raw") == 0) {
        HandWritten(ring, Variant::plain).run();
    } else {
        OnRondo(ring, Variant::plain).run();
    }
}

}  // namespace

int main(int argc, char** argv) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc == 6 && std::strcmp(argv[1], "--count") == 0) {
        count(argv[2],
              {std::atoi(argv[3]), std::atoi(argv[4]), std::strtoull(argv[5], nullptr, 10)});
        return 0;
    }
    bench::Report report("pipes", bench::Options(argc, argv));
    const uint64_t events = report.options().smoke ? 2000 : 200000;
    const auto most = static_cast<int>(limit.rlim_max / 2) - 50;
    for (const Shape shape : {Shape{100, 1, events}, Shape{1000, 10, events},
                              Shape{1000, 100, events}, Shape{9900, 100, events}}) {
        if (shape.pipes > most) {
            std::printf("  %d/%d: n.a. (limit of %d pipes)\n", shape.pipes, shape.active, most);
            continue;
        }
        measure(report, shape, Variant::plain,
                shape.active == 100 && shape.pipes == 1000 ? 1.03 : 1.05);
        measure(report, shape, Variant::timer, 1.05);
        measure(report, shape, Variant::toggle, 0.80);
    }
    return report.finish();
}
