// SPDX-License-Identifier: BSL-1.0
#pragma once
// LoopGroup: n loops on n threads. Each thread makes one object of the user's, such as a server, by
// a factory, runs its loop, and destroys the object: loops share nothing unless the user makes
// them. Work is shared by the kernel (each server listens with ListenOptions::reuse_port), or by
// one acceptor that hands its descriptors over: give(next(), ...) or give(least_loaded(), ...).
//
// It refuses to catch: an exception that leaves a handler or the factory ends the program, as it
// does in every std::thread. Its threads block all signals but faults; the others stay with the
// main loop.

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <rondo/loop/event_loop.hpp>
#include <rondo/thread/quiet_threads.hpp>

namespace rondo::inline RONDO_ABI {

/// How a LoopGroup starts.
struct LoopGroupOptions {
    size_t threads = 0;  ///< 0: one per processor
    bool pin = false;    ///< thread i stays on processor i (modulo)
};

/// Lifetime: the destructor stops and joins, so it must not run on one of its own threads.
/// Threads: start, join and the destructor on one thread; everything else on any, once start() has
/// returned.
template <class Loop, class User>
class LoopGroup {
    using Sockets = typename Loop::Poller::Sockets;

public:
    using UserPtr = std::unique_ptr<User>;

    LoopGroup() = default;
    LoopGroup(const LoopGroup&) = delete;
    LoopGroup& operator=(const LoopGroup&) = delete;
    ~LoopGroup() { end(); }

    /// Starts the threads; each calls its copy of `factory(Loop&, size_t index)`, which answers
    /// with a Result<std::unique_ptr<User>>. Returns when all run, or none. A group that was joined
    /// may be started again.
    /// Errors: that of the first factory, poller or pinning that failed; the others are stopped.
    /// Throws std::system_error if a thread can't be started, std::bad_alloc; stops the program
    /// where exceptions are off.
    template <class Factory>
    Result<void> start(const Factory& factory, LoopGroupOptions options = {}) {
        static_assert(std::is_invocable_r_v<Result<UserPtr>, Factory&, Loop&, size_t>,
                      "a factory is called as f(loop, index) and answers with a "
                      "rondo::Result<std::unique_ptr<User>>");
        RONDO_ASSERT(!running_, "start: the group was started already, stop() and join() it first");
        const size_t cpus = std::thread::hardware_concurrency();
        const size_t count = options.threads != 0 ? options.threads : cpus != 0 ? cpus : 1;
        members_.clear();
        error_ = {};
        ready_ = 0;
        for (size_t i = 0; i < count; ++i) members_.push_back(std::make_unique<Member>());
        Undo undo{this};
        running_ = true;
        {
            const detail::QuietThreads quiet;
            for (size_t i = 0; i < count; ++i) {
                const int cpu = options.pin ? static_cast<int>(i % (cpus != 0 ? cpus : 1)) : -1;
                members_[i]->thread = std::thread(
                    [this, i, cpu, factory]() mutable { run(*members_[i], factory, i, cpu); });
            }
        }
        std::unique_lock lock(start_);
        while (ready_ != count) all_.wait(lock);
        if (error_) return error_;
        undo.group = nullptr;
        return {};
    }

    /// Lets each loop leave run() when nothing but the group keeps it going: the orderly end of
    /// servers that a task posted before has told to drain. It can't be undone. Doesn't wait:
    /// join() does.
    void release() noexcept {
        for (auto& member : members_) {
            const std::lock_guard lock(member->door);
            member->remote.set_background(true);
        }
    }
    /// Makes each loop leave run() now; what is open then is cut. Doesn't wait: join() does.
    void stop() noexcept {
        for (auto& member : members_) {
            const std::lock_guard lock(member->door);
            member->stopped = true;
            if (member->loop != nullptr) member->loop->stop();
        }
    }

    /// Waits until all threads have ended, which they do after stop() or release(); their objects
    /// are destroyed on them.
    void join() {
        for (auto& member : members_) {
            RONDO_ASSERT(member->thread.get_id() != std::this_thread::get_id(),
                         "join: a thread of the group can't wait for itself");
            if (member->thread.joinable()) member->thread.join();
        }
        running_ = false;
    }

    /// Runs `task(User&)` once on thread `index`.
    /// Errors: loop_gone once that loop has ended, no_memory; the task then never runs.
    template <class Task>
    PostStatus post(size_t index, Task&& task) {
        static_assert(std::is_invocable_v<std::decay_t<Task>&, User&>,
                      "a task is called as f(user)");
        RONDO_ASSERT(index < members_.size(), "post: there is no thread with this index");
        RONDO_ASSERT(!detail::holds_nothing<std::decay_t<Task>>(task),
                     "post: an empty task was given, give it a callable");
        Member& member = *members_[index];
        const std::lock_guard lock(member.door);
        if (member.loop == nullptr) return PostStatus::loop_gone;
        return member.remote.post(
            [&member, task = static_cast<Task&&>(task)]() mutable { task(*member.user); });
    }

    /// Hands a descriptor to thread `index`, as `take(User&, int fd)`, which then owns it.
    /// It is a load on that thread until finished() is called for it.
    /// Errors: as post(). A descriptor that doesn't arrive is closed, now or when the loop ends.
    template <class Take>
    PostStatus give(size_t index, int fd, Take&& take) {
        static_assert(
            requires { Sockets::close(0); },
            "give() needs sockets whose close() is static: a descriptor that doesn't "
            "arrive is closed on another thread than theirs");
        static_assert(std::is_invocable_v<std::decay_t<Take>&, User&, int>,
                      "a descriptor is taken by f(user, fd)");
        RONDO_ASSERT(index < members_.size(), "give: there is no thread with this index");
        RONDO_ASSERT(!detail::holds_nothing<std::decay_t<Take>>(take),
                     "give: an empty callable was given, give it one that takes the descriptor");
        Parcel parcel(*members_[index], fd);
        return post(index, [parcel = std::move(parcel), take = static_cast<Take&&>(take)](
                               User& user) mutable { take(user, parcel.release()); });
    }
    /// What give() has handed to thread `index` is done with.
    void finished(size_t index) noexcept {
        RONDO_ASSERT(index < members_.size(), "finished: there is no thread with this index");
        [[maybe_unused]] const size_t before =
            members_[index]->load.fetch_sub(1, std::memory_order_relaxed);
        RONDO_ASSERT(before != 0, "finished() was called more often than descriptors were given");
    }

    /// How many threads it was started with.
    size_t size() const noexcept { return members_.size(); }
    /// What give() has handed to thread `index`, and isn't finished().
    size_t load(size_t index) const noexcept {
        RONDO_ASSERT(index < members_.size(), "load: there is no thread with this index");
        return members_[index]->load.load(std::memory_order_relaxed);
    }
    /// A thread: each in turn.
    size_t next() noexcept {
        RONDO_ASSERT(!members_.empty(), "next: there are no threads, start() the group first");
        return turn_.fetch_add(1, std::memory_order_relaxed) % members_.size();
    }
    /// The thread with the smallest load, the first of several.
    size_t least_loaded() const noexcept {
        RONDO_ASSERT(!members_.empty(),
                     "least_loaded: there are no threads, start() the group first");
        size_t least = 0;
        for (size_t i = 1; i < members_.size(); ++i) {
            if (load(i) < load(least)) least = i;
        }
        return least;
    }

private:
    struct Member {
        std::thread thread;
        std::mutex door;       // held to use loop, remote and stopped
        Loop* loop = nullptr;  // while it may be stopped and posted to
        typename Loop::Remote remote;
        bool stopped = false;
        User* user = nullptr;  // touched by its own thread alone
        std::atomic<size_t> load = 0;
    };

    // A descriptor on its way.
    class Parcel {
    public:
        Parcel(Member& to, int fd) noexcept : to_(&to), fd_(fd) {
            to_->load.fetch_add(1, std::memory_order_relaxed);
        }
        Parcel(Parcel&& other) noexcept : to_(other.to_), fd_(other.release()) {}
        Parcel& operator=(Parcel&&) = delete;
        ~Parcel() {
            if (fd_ < 0) return;
            Sockets::close(fd_);
            to_->load.fetch_sub(1, std::memory_order_relaxed);
        }
        int release() noexcept { return std::exchange(fd_, -1); }

    private:
        Member* to_;
        int fd_;
    };

    // What was started before something failed.
    struct Undo {
        LoopGroup* group;
        ~Undo() {
            if (group == nullptr) return;
            group->end();
            group->members_.clear();
        }
    };

    void end() {
        stop();
        join();
    }

    template <class Factory>
    void run(Member& member, Factory& factory, size_t index, int cpu) {
        auto poller = Loop::Poller::open();
        if (!poller) return started(&poller.error());
        if (cpu >= 0) {
            const auto pinned = poller->system().pin_thread(cpu);
            if (!pinned) return started(&pinned.error());
        }
        Loop loop(std::move(*poller));
        Result<UserPtr> made = factory(loop, index);
        if (!made) return started(&made.error());
        RONDO_ASSERT(*made, "a factory answered with a null pointer: answer with an Error instead");
        UserPtr user = std::move(*made);
        member.user = user.get();
        {
            const std::lock_guard lock(member.door);
            member.remote = loop.remote();
            member.loop = &loop;
            if (member.stopped) loop.stop();
        }
        started(nullptr);
        loop.run();
        const std::lock_guard lock(member.door);
        member.loop = nullptr;
        member.remote = {};
    }

    void started(const Error* error) {
        const std::lock_guard lock(start_);
        if (error != nullptr && !error_) error_ = *error;
        ++ready_;
        all_.notify_one();
    }

    std::vector<std::unique_ptr<Member>> members_;  // from start() to the end, or the next start
    std::atomic<size_t> turn_ = 0;
    bool running_ = false;  // not joined
    std::mutex start_;      // guards what follows
    std::condition_variable all_;
    size_t ready_ = 0;
    Error error_;
};

}  // namespace rondo::inline RONDO_ABI
