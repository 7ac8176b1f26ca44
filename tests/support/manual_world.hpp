// SPDX-License-Identifier: BSL-1.0
#pragma once
// The world of a ManualPoller, and the handle by which a test moves it: a clock that stands still
// unless told, descriptors, a network, signals and children in memory, and counters of every call.
// The test keeps the world, the loop owns the poller; nothing here asks the operating system.
//
// One poller at a time lives in a world. Only waking may be done by another thread.

#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <rondo/backend/readiness.hpp>
#include <rondo/core/child_status.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/time.hpp>

#include "manual_object.hpp"

namespace rondo::test {

/// How often each call was made.
struct ManualCounters {
    size_t adds = 0;
    size_t modifies = 0;
    size_t removes = 0;
    size_t waits = 0;
    size_t wakes = 0;
    size_t clock_reads = 0;
    size_t writes = 0;
    size_t reopens = 0;
    size_t abandons = 0;
    /// Calls that would have been epoll_ctl.
    size_t changes() const { return adds + modifies + removes; }
};

class ManualWorld {
public:
    ManualWorld() = default;
    ManualWorld(const ManualWorld&) = delete;
    ManualWorld& operator=(const ManualWorld&) = delete;

    // Time.

    /// What the clock shows, without counting it as a reading.
    Instant time() const { return time_; }
    void advance(Duration by) { time_ = time_ + by; }
    /// Runs `action` in the wait that reaches this instant; a wait doesn't sleep past it.
    void schedule(Instant at, std::function<void()> action) {
        actions_.emplace(at, std::move(action));
    }
    void schedule(Duration after, std::function<void()> action) {
        schedule(time_ + after, std::move(action));
    }

    // Scripted readiness.

    /// Opens a descriptor whose state is what set_ready says.
    int open_scripted() { return insert(std::make_shared<ScriptedObject>()); }
    /// The state of a scripted descriptor from now on; the set bits count as changes.
    void set_ready(int fd, Readiness state) {
        if (Object* const object = find(fd); object != nullptr && object->script() != nullptr) {
            object->script()->set(state);
        }
    }
    /// Reported once, by the next wait, as far as the registration of `fd` wants it.
    void inject(int fd, Readiness bits) { injected_[fd] |= bits; }
    /// An event as it is, wanted or not: one that comes late, or for a dead generation.
    void inject_event(Token token, Readiness bits) { raw_events_.push_back({token, bits}); }

    void fail_next_add(int code) { add_failure = code; }
    void fail_next_modify(int code) { modify_failure = code; }
    void fail_next_remove(int code) { remove_failure = code; }
    void fail_next_wait(int code) { wait_failure = code; }
    void fail_next_reopen(int code) { reopen_failure = code; }
    /// EMFILE and its like, from the next accept.
    void fail_next_accept(int code) { accept_failure = code; }
    void interrupt_next_wait() { wait_failure = EINTR; }

    // Network.

    /// Bytes that a stream, pipe or datagram socket made from now on holds unread.
    void set_capacity(size_t bytes) { capacity_ = bytes; }
    size_t capacity() const { return capacity_; }
    /// Bytes that may be on the way from this descriptor to its peer.
    void set_capacity(int fd, size_t bytes) {
        if (Object* const object = find(fd)) object->set_capacity(bytes);
    }
    /// While on, connects stay in progress; turning it off finishes them.
    void hold_connects(bool on) {
        holding_ = on;
        if (on) return;
        for (auto& finish : std::exchange(held_, {})) finish();
    }
    /// Connects to this address are never decided: nobody answers there.
    void lose_connects(const Endpoint& to) { silent_.push_back(to); }
    bool loses_connects(const Endpoint& to) const {
        return std::find(silent_.begin(), silent_.end(), to) != silent_.end();
    }
    /// Where streams were connected to, in order, whatever came of it.
    std::vector<Endpoint> connects;

    // Signals and children.

    void raise_signal(int number) {
        const uint64_t bit = uint64_t{1} << (number - 1);
        if ((watched_signals & bit) == 0) return;
        pending_signals |= bit;
        set_ready(signal_fd, Readiness::readable);
    }
    void end_child(int pid, int code, bool signaled = false) {
        ended_children[pid] = ChildStatus{pid, signaled, code};
        if (const auto at = child_fds.find(pid); at != child_fds.end()) {
            set_ready(at->second, Readiness::readable);
        }
    }

    // Names: what resolve() answers.

    std::map<std::string, std::vector<Endpoint>, std::less<>> hosts;

    // What happened.

    const ManualCounters& counters() const { return counters_; }
    ManualCounters& counters() { return counters_; }
    void reset_counters() { counters_ = {}; }
    /// How often a wait without a deadline found nothing that could ever end it.
    size_t would_block_forever() const { return stuck_; }
    /// Really block in such a wait: for tests in which another thread wakes the loop.
    void let_threads_wake(bool on) { threads_ = on; }
    /// What the last wait was given.
    Instant last_deadline() const { return last_deadline_; }
    /// The interest that the poller holds for a descriptor.
    std::optional<Interest> registered(int fd) const {
        for (const Registration& one : set) {
            if (one.fd == fd) return one.interest;
        }
        return std::nullopt;
    }
    size_t open_descriptors() const { return table_.size(); }

    // The rest is for ManualPoller, ManualSockets and ManualSystem.

    struct Registration {
        int fd = -1;
        std::weak_ptr<Object> object;
        Interest interest = Interest::none;
        Token token;
        uint64_t seen = 0;  // changes of the object at the last report
        bool fresh = true;  // report the state, changed or not
        bool armed = true;  // false: a one-shot that was reported
    };
    struct RawEvent {
        Token token;
        Readiness bits = Readiness::none;
    };

    /// The lowest free number, as a kernel does it.
    int insert(std::shared_ptr<Object> object) {
        int fd = first_fd;
        while (table_.contains(fd)) ++fd;
        table_[fd] = std::move(object);
        return fd;
    }
    Object* find(int fd) { return shared(fd).get(); }
    std::shared_ptr<Object> shared(int fd) {
        const auto at = table_.find(fd);
        return at == table_.end() ? nullptr : at->second;
    }
    template <class F>
    void for_each(F&& f) {
        for (auto& [fd, object] : table_) f(*object);
    }
    void replace(int fd, std::shared_ptr<Object> object) { table_[fd] = std::move(object); }
    void close(int fd) {
        const auto object = shared(fd);
        if (!object) return;
        object->close();
        table_.erase(fd);
    }

    bool holding() const { return holding_; }
    void hold(std::function<void()> finish) { held_.push_back(std::move(finish)); }

    void wake() {
        const std::lock_guard lock(mutex_);
        ++counters_.wakes;
        woken_ = true;
        condition_.notify_one();
    }
    bool take_wake() {
        const std::lock_guard lock(mutex_);
        return std::exchange(woken_, false);
    }

    /// Begins a wait: runs what is due.
    void begin_wait(Instant deadline) {
        ++counters_.waits;
        last_deadline_ = deadline;
        run_due();
    }
    /// Nothing is ready: lets time pass up to what comes next. False: the wait is over.
    bool pass_time(Instant deadline) {
        const Instant action = actions_.empty() ? Instant::max() : actions_.begin()->first;
        const Instant next = action < deadline ? action : deadline;
        if (next == Instant::max()) return block_forever();
        if (time_ < next) time_ = next;
        run_due();
        return action <= deadline;
    }

    std::vector<Registration> set;
    size_t set_cursor = 0;
    std::map<std::string, std::weak_ptr<Object>> names;
    uint16_t next_port = 40000;
    uint64_t watched_signals = 0;
    uint64_t pending_signals = 0;
    int signal_fd = -1;
    std::map<int, int> child_fds;
    std::map<int, ChildStatus> ended_children;
    std::map<int, Readiness>& injected() { return injected_; }
    std::vector<RawEvent>& raw_events() { return raw_events_; }
    int add_failure = 0;
    int modify_failure = 0;
    int remove_failure = 0;
    int wait_failure = 0;
    int reopen_failure = 0;
    int accept_failure = 0;

private:
    // Far from the numbers that the operating system gives, so that a mix-up is noticed.
    static constexpr int first_fd = 1000;
    static constexpr size_t patience = 1000;

    void run_due() {
        while (!actions_.empty() && actions_.begin()->first <= time_) {
            auto action = std::move(actions_.begin()->second);
            actions_.erase(actions_.begin());
            action();
        }
    }

    bool block_forever() {
        if (threads_) {
            std::unique_lock lock(mutex_);
            condition_.wait(lock, [this] { return woken_; });
            woken_ = false;
            return false;
        }
        if (++stuck_ < patience) return false;
        fprintf(stderr, "ManualWorld: the loop waits again and again, and nothing can wake it\n");
        abort();
    }

    Instant time_{1'000'000'000'000};
    std::multimap<Instant, std::function<void()>> actions_;
    std::map<int, std::shared_ptr<Object>> table_;
    std::map<int, Readiness> injected_;
    std::vector<RawEvent> raw_events_;
    ManualCounters counters_;
    Instant last_deadline_;
    size_t capacity_ = 65536;
    size_t stuck_ = 0;
    bool holding_ = false;
    std::vector<Endpoint> silent_;
    std::vector<std::function<void()>> held_;
    bool threads_ = false;
    bool woken_ = false;
    std::mutex mutex_;
    std::condition_variable condition_;
};

}  // namespace rondo::test
