// SPDX-License-Identifier: BSL-1.0
// EventLoop against a simple model: descriptors and timers that are added, removed, added again,
// changed and cancelled, inside of handlers and outside, with nested turns and exceptions. No
// handler may be called that the model has forgotten, and none be missed that nobody has touched.
#include <rondo/loop/event_loop.hpp>

#include <array>
#include <map>

#include "fuzz/input.hpp"
#include "support/manual_poller.hpp"

using namespace rondo;
using rondo::test::demand;
using rondo::test::Input;
using rondo::test::ManualPoller;
using rondo::test::ManualWorld;

namespace {

struct Thrown {};

class Fuzzed {
public:
    explicit Fuzzed(Input& in) : in_(in), loop_(ManualPoller(world_)) {
        for (One& one : all_) one.fd = world_.open_scripted();
    }
    ~Fuzzed() {
        // What throws and what nests is over; each must go quietly.
        quiet_ = true;
        for (One& one : all_) loop_.remove(one.fd);
    }

    void turn() {
        for (int i = 0; i < 1 + in_.byte() % 4; ++i) operate();
        // What an exception has left is run first, and then what is ready: some twice.
        undisturbed_ = !std::exchange(threw_, false);
        for (One& one : all_) {
            one.touched = false;
            one.calls = 0;
        }
        const auto due_before = due();
        try {
            loop_.poll();
        } catch (const Thrown&) {
            undisturbed_ = false;
            threw_ = true;
        }
        if (!undisturbed_) return;
        for (const One& one : all_) {
            const bool awaited = one.added && any(one.interest, Interest::read) && one.ready;
            if (!one.touched) {
                demand(one.calls == (awaited ? 1 : 0), "a handler wasn't called once");
            }
        }
        for (const auto& [key, deadline] : due_before) {
            const auto timer = timers_.find(key);
            demand(timer == timers_.end() || timer->second.deadline != deadline,
                   "a timer that was due didn't run");
        }
    }

private:
    struct One {
        int fd = -1;
        bool added = false;
        Interest interest = Interest::none;
        bool ready = false;
        uint64_t life = 0;  // which registration it is
        bool touched = false;
        int calls = 0;
    };
    struct Pending {
        TimerId id;
        Instant deadline;
    };

    std::map<uint64_t, Instant> due() {
        std::map<uint64_t, Instant> found;
        for (const auto& [key, timer] : timers_) {
            if (timer.deadline <= world_.time()) found[key] = timer.deadline;
        }
        return found;
    }

    void operate() {
        One& one = all_[in_.below(all_.size())];
        switch (in_.below(12)) {
            case 0:
            case 1:
                add(one);
                break;
            case 2:
                one.touched = true;
                one.added = false;
                loop_.remove(one.fd);
                break;
            case 3:
                if (!one.added) break;
                one.touched = true;
                one.interest = in_.below(2) == 0 ? Interest::none : Interest::read;
                loop_.modify(one.fd, one.interest);
                break;
            case 4:
            case 5:
                one.touched = true;
                one.ready = in_.below(3) != 0;
                world_.set_ready(one.fd, one.ready ? Readiness::readable : Readiness::none);
                break;
            case 6:
            case 7:
                add_timer();
                break;
            case 8:
                if (!timers_.empty()) cancel(in_.below(timers_.size()));
                break;
            case 9:
                world_.advance(Duration::milliseconds(static_cast<int64_t>(in_.below(20))));
                undisturbed_ = false;
                break;
            case 10:
                if (!timers_.empty()) rearm(in_.below(timers_.size()));
                break;
            default:
                if (depth_ != 0 && depth_ < 4 && !quiet_) {
                    undisturbed_ = false;
                    loop_.poll();
                }
        }
    }

    void add(One& one) {
        const uint64_t life = ++lives_;
        const auto added = loop_.add(one.fd, Interest::read, [this, &one, life] {
            demand(one.added && one.life == life, "a handler was called that had been removed");
            ++one.calls;
            inside();
        });
        demand(static_cast<bool>(added) == !one.added, "add() says something else");
        if (!added) return;
        one.touched = one.added = true;
        one.interest = Interest::read;
        one.life = life;
    }

    void add_timer() {
        if (timers_.size() > 50) return;
        const uint64_t key = ++lives_;
        const Instant deadline =
            world_.time() + Duration::milliseconds(static_cast<int64_t>(in_.below(30)));
        const TimerId id = loop_.at(deadline, [this, key] {
            const auto timer = timers_.find(key);
            demand(timer != timers_.end(), "a timer ran that was cancelled or had run");
            demand(timer->second.deadline <= world_.time(), "a timer ran early");
            timers_.erase(timer);
            inside();
        });
        demand(static_cast<bool>(id), "there is no memory");
        timers_[key] = {id, deadline};
    }
    void cancel(size_t index) {
        const auto timer = std::next(timers_.begin(), static_cast<std::ptrdiff_t>(index));
        demand(loop_.cancel(timer->second.id), "a timer couldn't be cancelled");
        timers_.erase(timer);
    }
    void rearm(size_t index) {
        const auto timer = std::next(timers_.begin(), static_cast<std::ptrdiff_t>(index));
        const Instant deadline =
            world_.time() + Duration::milliseconds(static_cast<int64_t>(in_.below(30)));
        demand(loop_.rearm(timer->second.id, deadline), "a timer couldn't be set anew");
        timer->second.deadline = deadline;
        undisturbed_ = false;  // in a handler: it runs in the next turn
    }

    // What a handler does.
    void inside() {
        struct Depth {
            int& depth;
            explicit Depth(int& of) : depth(++of) {}
            ~Depth() { --depth; }
        } const depth(depth_);
        if (quiet_) return;
        for (int i = in_.byte() % 3; i > 0; --i) operate();
        if (in_.below(16) == 1) throw Thrown();
    }

    Input& in_;
    ManualWorld world_;
    EventLoop<ManualPoller> loop_;
    std::array<One, 6> all_;
    std::map<uint64_t, Pending> timers_;
    uint64_t lives_ = 0;
    int depth_ = 0;
    bool undisturbed_ = false;  // no exception, nested turn or passing of time in this turn
    bool threw_ = false;
    bool quiet_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input in(data, size);
    Fuzzed fuzzed(in);
    while (!in.empty()) fuzzed.turn();
    return 0;
}
