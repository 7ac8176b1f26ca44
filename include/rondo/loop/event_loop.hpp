// SPDX-License-Identifier: BSL-1.0
#pragma once
// EventLoop<Poller>: waits for descriptors, timers, signals, children and other threads, and calls
// the handlers of what happened. One turn:
//
//   before_sleep hooks
//     -> apply merged interest changes
//     -> wait, until the earliest deadline
//   after_sleep hooks
//     -> ready descriptors, in the poller's order (each: read, then write; write_first inverts it)
//     -> due timers, by deadline, ties in the order of scheduling
//     -> tasks, deferred ones first, then posted ones
//
// Each phase runs only what was there when it began. What an exception, a stop or a nested poll()
// leaves of a phase is finished first by the next turn, which then doesn't wait.
//
// It refuses to be shared between threads: one loop, one thread, and doors (post, Remote, stop).

#include <stddef.h>
#include <stdint.h>

#include <utility>

#include <rondo/core/raise.hpp>
#include <rondo/loop/children.hpp>
#include <rondo/loop/hook.hpp>
#include <rondo/loop/hooks.hpp>
#include <rondo/loop/observer.hpp>
#include <rondo/loop/phases.hpp>
#include <rondo/loop/remote.hpp>
#include <rondo/loop/scratch.hpp>
#include <rondo/loop/signals.hpp>
#include <rondo/loop/timer.hpp>
#include <rondo/loop/timers.hpp>
#include <rondo/loop/watch.hpp>

namespace rondo::inline RONDO_ABI {

/// The reactor. Neither copied nor moved: handlers, watches and remotes point at it.
///
/// Lifetime: Watch, Timer and Hook must be gone before it (asserted); a Remote may outlive it. Its
/// end runs no handler, destroys what handlers capture, and leaves the user's descriptors open.
/// Threads: every function belongs to the thread that runs the loop (asserted), but for post, stop,
/// remote and what a Remote does. Before the first run it may be set up by any one thread.
/// Errors: what the system refuses comes back from the call and changes nothing. A handler's
/// exception leaves run(), and run() may be called again.
template <Poller P, LoopObserver Observer = NoObserver, Memory M = Malloc>
class EventLoop {
public:
    using Poller = P;
    using MemoryPolicy = M;
    using IoHandler = BasicIoHandler<M>;
    using Task = BasicTask<M>;
    using SignalHandler = BasicSignalHandler<M>;
    using ChildHandler = BasicChildHandler<M>;
    using Watch = BasicWatch<EventLoop>;
    using Timer = BasicTimer<EventLoop>;
    using Hook = BasicHook<EventLoop>;
    using Remote = BasicRemote<M>;
    using HookRecord = detail::HookRecord<M>;

    /// Opens a poller of its own.
    /// Errors: throws std::system_error if that fails; stops the program where exceptions are off.
    EventLoop() : EventLoop(P::open().value()) {}
    /// Runs on a poller that was opened before.
    /// Errors: as above, if memory is out.
    [[gnu::cold]] explicit EventLoop(P poller);
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    [[gnu::cold]] ~EventLoop();

    // Descriptors ------------------------------------------------------------------------------

    /// Watches `fd`, which should be non-blocking: readiness is a hint, and a handler that blocks
    /// holds up everybody. One handler for both directions is called once per turn with all that is
    /// ready.
    /// Lifetime: the descriptor stays the caller's, who ends it with close(), or with remove()
    /// before closing it.
    /// Threads: loop thread.
    /// Errors: EBADF, EEXIST if it is watched already (or its number was when it was closed without
    /// remove()), ENOMEM, and what the poller says (P2).
    /// Cost: one system call.
    Result<void> add(int fd, Interest interest, IoHandler handler, Where where = Where::here()) {
        if (refuse()) return closing_error("add", fd);
        return descriptors_.add(fd, interest, handler, nullptr, 0, where);
    }
    /// The same with a handler per direction; they run read, then write.
    Result<void> add(int fd, Interest interest, IoHandler on_read, IoHandler on_write,
                     Where where = Where::here()) {
        if (refuse()) return closing_error("add", fd);
        return descriptors_.add(fd, interest, on_read, &on_write, 0, where);
    }

    /// Changes the directions that are watched. Its modes (edge, oneshot, write_first) stay.
    /// Threads: loop thread.
    /// Errors: asserts that `fd` is watched. A change that the poller refuses later reaches the
    /// handler as Readiness::error.
    /// Cost: no system call; merged with other changes and applied before the next wait.
    void modify(int fd, Interest interest) noexcept {
        if (refuse()) return;
        descriptors_.modify(fd, interest);
        disturb();
    }

    /// Gives a direction (or both) another handler, which is first called after the next wait. A
    /// handler that served both keeps the other direction if that is watched.
    /// Threads: loop thread.
    /// Errors: asserts that `fd` is watched; ENOMEM.
    Result<void> replace(int fd, Interest direction, IoHandler handler) {
        if (refuse()) return closing_error("replace", fd);
        Result<void> replaced = descriptors_.replace(fd, direction, handler);
        disturb();
        return replaced;
    }

    /// Ends the registration at once, also in the kernel, and also for events of the current batch.
    /// Does nothing if there is none.
    /// Threads: loop thread.
    /// Cost: one system call.
    void remove(int fd) noexcept {
        if (!refuse()) descriptors_.remove(fd);
    }

    /// Ends the registration of `fd`, if there is one, and closes it. On epoll that is one system
    /// call instead of two. Where a duplicate of it lives on, say in a forked child, the kernel
    /// goes on reporting it; the first such event costs a rebuild (see rebuilds()).
    /// Threads: loop thread.
    void close(int fd) noexcept {
        if (!refuse()) descriptors_.remove_before_close(fd);
        sockets().close(fd);
    }

    /// What `fd` is watched for; Interest::none if it isn't.
    /// Threads: loop thread.
    Interest interest(int fd) noexcept {
        static_cast<void>(refuse());
        return descriptors_.interest(fd);
    }

    /// Like add, but the registration ends with the Watch.
    /// Threads: loop thread.
    Result<Watch> watch(int fd, Interest interest, IoHandler handler, Where where = Where::here()) {
        auto added = add(fd, interest, std::move(handler), where);
        if (!added) return added.error();
        return Watch(*this, Watch::Kind::fd,
                     {static_cast<uint32_t>(fd), descriptors_.find(fd)->generation});
    }

    // Timers -----------------------------------------------------------------------------------

    /// Calls `handler` once, not earlier than `delay` from now. A handler that returns a Duration
    /// is called again that long after it returned, until it returns rondo::never.
    /// Threads: loop thread.
    /// Errors: the id tests false if memory is out.
    /// Cost: a clock read and O(log n); no allocation after warm-up for closures of up to 32 bytes.
    template <class F>
    TimerId after(Duration delay, F&& handler, Where where = Where::here()) {
        return at(poller_.now() + delay, static_cast<F&&>(handler), where);
    }
    /// The same at a deadline on the clock of now(): `at(loop.now() + 1s, f)`. Reads no clock.
    template <class F>
    TimerId at(Instant deadline, F&& handler, Where where = Where::here()) {
        return start<detail::TimerRule>(static_cast<F&&>(handler), deadline, 0, where);
    }
    /// Calls `handler` at a fixed rate, the first time after one period, until it is cancelled.
    /// Ticks that are missed because the loop was busy collapse into the next one, which may be
    /// told how many they were.
    /// Threads: loop thread.
    /// Errors: as after(). A period under 1 ns counts as 1 ns.
    template <class F>
    TimerId every(Duration period, F&& handler, Where where = Where::here()) {
        const int64_t ns = period.ns() > 0 ? period.ns() : 1;
        return start<detail::TickRule>(static_cast<F&&>(handler), poller_.now() + Duration(ns), ns,
                                       where);
    }

    /// Ends a timer. True: a run was prevented. A stale id of this loop is harmless.
    /// Threads: loop thread.
    /// Cost: O(1) now, its share of O(log n) later.
    bool cancel(TimerId id) noexcept { return !refuse() && timers_.cancel(id); }

    /// Moves a timer, a fired one too while its handler runs. False if it is gone. The form with an
    /// Instant reads no clock: `rearm(id, loop.now() + 60s)` is the one for idle timeouts.
    /// Threads: loop thread.
    /// Cost: a later deadline is a store.
    bool rearm(TimerId id, Duration delay) noexcept { return rearm(id, poller_.now() + delay); }
    bool rearm(TimerId id, Instant deadline) noexcept {
        if (refuse()) return false;
        disturb();
        return timers_.rearm(id, deadline);
    }

    /// When a timer runs next; Instant::max() if it doesn't.
    /// Threads: loop thread.
    Instant deadline(TimerId id) noexcept {
        static_cast<void>(refuse());
        return timers_.deadline(id);
    }
    /// How long until then, zero if it is due; `never` if it doesn't run.
    /// Threads: loop thread.
    Duration remaining(TimerId id) noexcept;

    /// A timer that ends with its owner.
    /// Threads: loop thread.
    Timer timer() noexcept {
        static_cast<void>(refuse());
        return Timer(*this);
    }

    // Tasks and other threads ------------------------------------------------------------------

    /// Runs `task` in this turn's task phase; one deferred by a task runs in the next turn.
    /// Threads: loop thread.
    /// Errors: false if memory is out.
    template <class F>
    bool defer(F&& task) {
        if (refuse()) return false;
        disturb();
        if constexpr (detail::TaskRule::template check<F>()) {
            return queue_->defer(static_cast<F&&>(task));
        } else {
            return false;
        }
    }

    /// Runs `task` once on the loop's thread. The shared door: a Remote is three times faster, and
    /// keeps run() from returning before its owner has posted.
    /// Threads: any thread, while the loop exists.
    /// Errors: false if memory is out.
    template <class F>
    bool post(F&& task) {
        if constexpr (detail::TaskRule::template check<F>()) {
            return queue_->post_shared(static_cast<F&&>(task));
        } else {
            return false;
        }
    }

    /// A door for one other thread. It keeps run() going until it is destroyed or put in the
    /// background.
    /// Threads: any thread, while the loop exists.
    Remote remote() noexcept { return Remote(queue_->producer()); }

    // Hooks, signals, children -----------------------------------------------------------------

    /// Runs `task` in every turn before the interests are applied and the deadline is computed.
    /// Threads: loop thread.
    /// Errors: the hook tests false if memory is out.
    Hook before_sleep(Task task) noexcept { return hook(detail::HookTime::before_sleep, task); }
    /// Runs `task` in every turn after the wait; paired with before_sleep. A hook that throws ends
    /// its phase: the hooks after it miss it, and the next turn begins with before_sleep.
    Hook after_sleep(Task task) noexcept { return hook(detail::HookTime::after_sleep, task); }

    /// Calls `handler` on the loop's thread when `signal` has arrived; several arrivals may be one
    /// call, for as long as the Watch lives: keep it. Doesn't keep run() going.
    /// Threads: loop thread.
    /// Errors: EINVAL, ENOMEM, and what the system says.
    [[gnu::cold]] Result<Watch> on_signal(int signal, SignalHandler handler,
                                          Where where = Where::here()) {
        if (refuse()) return closing_error("on_signal", signal);
        auto key = signals_.add(signal, handler, where);
        if (!key) return key.error();
        return Watch(*this, Watch::Kind::signal, *key);
    }
    /// Calls `handler` once when the child process has ended, and reaps it, if the Watch still
    /// lives.
    /// Threads: loop thread.
    /// Errors: ECHILD or ESRCH if `pid` is no child, ENOMEM, what the system says.
    [[gnu::cold]] Result<Watch> on_child(int pid, ChildHandler handler,
                                         Where where = Where::here()) {
        if (refuse()) return closing_error("on_child", pid);
        auto key = children_.add(pid, handler, where);
        if (!key) return key.error();
        return Watch(*this, Watch::Kind::child, *key);
    }

    /// What is in the background doesn't keep run() going.
    /// Threads: loop thread.
    void background(int fd, bool on) noexcept {
        if (!refuse()) descriptors_.set_background(fd, on);
    }
    [[gnu::noinline]] void background(TimerId id, bool on) noexcept {
        if (!refuse()) timers_.set_background(id, on);
    }
    void background(Remote& remote, bool on) noexcept { remote.set_background(on); }

    // Running ----------------------------------------------------------------------------------
    // Hot functions of their own: who makes a loop calls what is cold, and is compiled for size.

    /// Turns until stop() or until nothing is left that could wake it: no foreground watch, timer,
    /// child or Remote, and no task. (Signal watches and hooks keep nothing going.) Returns how
    /// many handlers ran, the loop's own for signals included.
    /// Threads: makes the calling thread the loop's.
    /// Errors: asserts that it isn't called by a handler.
    [[gnu::hot, gnu::noinline]] size_t run();
    /// One turn; waits if nothing is ready, unless nothing is left that could wake it. Otherwise as
    /// run().
    [[gnu::hot, gnu::noinline]] size_t run_once(Phases phases = Phases::all);
    /// One turn without waiting. The only one that a handler may call: it first finishes what is
    /// left of the outer turn, never enters a running handler, and doesn't consume a stop.
    /// Threads: as run(); nested, the loop's.
    [[gnu::hot, gnu::noinline]] size_t poll(Phases phases = Phases::all);
    /// Turns until stop(), until nothing is left, or for `duration`. Otherwise as run().
    [[gnu::hot, gnu::noinline]] size_t run_for(Duration duration);

    /// Makes the current run, or the next one, return after the running handler. The rest of the
    /// turn is kept for the next one.
    /// Threads: any thread, while the loop exists.
    void stop() noexcept {
        state_.note(detail::TurnState::stop);
        queue_->poke();
    }

    /// The time of this turn: read on first use, the same until the next wait. While the loop isn't
    /// running it is read by each call.
    /// Threads: loop thread.
    Instant now() noexcept;

    // Embedding --------------------------------------------------------------------------------

    /// For a foreign loop: runs the before-sleep hooks (once per wait, however often it is called),
    /// applies changes and marks the loop as sleeping. The foreign loop waits for native_handle()
    /// or the deadline, whichever is first, and calls poll(). What is changed in between makes
    /// native_handle() readable.
    /// Threads: loop thread.
    [[gnu::hot, gnu::noinline]] Instant prepare();

    /// The descriptor to wait on; readable when poll() has something to do.
    /// Threads: loop thread.
    int native_handle() noexcept
        requires HasNativeHandle<P>
    {
        return poller_.native_handle();
    }

    /// In the child after fork: gives up the kernel objects that the parent shares. Afterwards the
    /// loop can only be destroyed, which makes no system call.
    /// Threads: loop thread.
    [[gnu::cold]] void abandon() noexcept;

    /// Tells what keeps the loop going, line by line, to `sink(std::string_view)`: every watch,
    /// timer and guard, with where it was made in programs built with RONDO_TRACE_LOCATIONS.
    /// Threads: loop thread.
    template <class Sink>
    void dump(Sink&& sink);

    /// The socket calls of the poller's world.
    /// Threads: loop thread, as the next three.
    typename P::Sockets& sockets() noexcept { return poller_.sockets(); }
    /// Large buffers to read into, one for each level of nested turns.
    detail::Scratch<M>& scratch() noexcept { return scratch_; }
    P& poller() noexcept { return poller_; }
    Observer& observer() noexcept { return observer_; }
    /// How often the kernel's set had to be made anew, because a descriptor was closed without
    /// remove() while a duplicate of it lived.
    size_t rebuilds() const noexcept { return descriptors_.rebuilds(); }

private:
    friend Watch;
    friend Timer;
    friend Hook;
    class Entry;

    size_t turn(Phases phases, Instant limit);
    [[gnu::always_inline]] void wait(Instant limit, bool with_timers);
    [[gnu::noinline]] bool ask_first();
    [[gnu::always_inline]] void ask(Instant deadline);
    size_t run_tasks();
    bool rest_left(Phases phases) const noexcept;
    bool alive() const noexcept { return state_.alive != 0 || busy(); }
    bool busy() const noexcept;
    bool consume_stop() noexcept;
    bool alone() noexcept { return poller_.system().single_threaded(); }

    template <class Rule, class F>
    TimerId start(F&& handler, Instant deadline, int64_t period_ns, Where where);
    Hook hook(detail::HookTime time, Task& task) noexcept;
    void end_hook(HookRecord* record) noexcept;
    [[gnu::cold]] void end_watch(typename Watch::Kind kind, SlabKey key) noexcept;
    [[gnu::cold]] bool watching(typename Watch::Kind kind, SlabKey key) noexcept;
    [[gnu::cold]] void set_watch_background(typename Watch::Kind kind, SlabKey key,
                                            bool on) noexcept;
    void count_handle(int change) noexcept { handles_ += change; }
    // Calls made while the loop is being destroyed do nothing: the destructors of what handlers
    // capture may make them. Calls by a thread that isn't the loop's stop the program.
    [[gnu::always_inline]] bool refuse() noexcept {
        const uintptr_t owner = owner_.load(std::memory_order_relaxed);
        RONDO_ASSERT(owner == 0 || owner == poller_.system().thread_token(),
                     "a loop belongs to the thread that runs it: use post() or a Remote instead");
        return state_.closing;
    }
    void disturb() noexcept;
    [[gnu::cold]] static Error closing_error(const char* call, int fd) noexcept {
        return Error::on_fd(ECANCELED, call, fd);
    }

    P poller_;
    detail::TurnState state_;
    detail::Descriptors<P, M> descriptors_{poller_, state_};
    detail::Timers<M> timers_{state_};
    detail::Hooks<M> hooks_{state_};
    detail::Signals<P, M> signals_{poller_, state_, descriptors_};
    detail::Children<P, M> children_{poller_, descriptors_};
    detail::Scratch<M> scratch_;
    detail::PostQueue<M>* queue_;
    std::atomic<uintptr_t> owner_{0};  // the thread that runs it; 0: none
    Instant now_;
    bool now_known_ = false;
    bool abandoned_ = false;
    bool prepared_ = false;  // prepare() has run the before-sleep hooks of the next wait
    bool had_work_ = false;  // the last turn ran a handler
    uint32_t patience_ = 0;  // turns to block at once, because asking first was in vain
    uint32_t patience_next_ = 1;
    int handles_ = 0;
    [[no_unique_address]] Observer observer_;
};

}  // namespace rondo::inline RONDO_ABI

#include <rondo/loop/turn.hpp>
