// SPDX-License-Identifier: BSL-1.0
#pragma once
// How a loop turns: the run modes, one turn, the wait with its sleeping protocol, and the ends of a
// loop. The diagram that turn() follows is at the head of event_loop.hpp.

#include <rondo/loop/event_loop.hpp>

namespace rondo::inline RONDO_ABI {

template <Poller P, LoopObserver Observer, Memory M>
EventLoop<P, Observer, M>::EventLoop(P poller) : poller_(std::move(poller)) {
    const auto wake = [](void* context) noexcept { static_cast<P*>(context)->wake(); };
    queue_ = detail::PostQueue<M>::create(wake, &poller_);
    if (queue_ == nullptr || !descriptors_.make_room()) {
        if (queue_ != nullptr) queue_->close();
        detail::raise(Error(ENOMEM, "EventLoop"));
    }
}

template <Poller P, LoopObserver Observer, Memory M>
EventLoop<P, Observer, M>::~EventLoop() {
    static_cast<void>(refuse());
    RONDO_ASSERT(!state_.running.any(),
                 "a handler must not destroy the loop that runs it: stop() it");
    state_.closing = true;
    hooks_.clear();
    children_.clear();
    signals_.clear();
    timers_.clear();
    descriptors_.clear();
    queue_->close();  // last: until then post() and stop() are legal, also in the destructors above
    RONDO_ASSERT(handles_ == 0,
                 "destroy every Watch, Timer and Hook (a Listener holds them) before the loop");
}

// Who runs a loop owns it meanwhile. Only the outermost run changes the owner, and consumes a stop.
template <Poller P, LoopObserver Observer, Memory M>
class EventLoop<P, Observer, M>::Entry {
public:
    explicit Entry(EventLoop& loop) noexcept : loop_(loop), outermost_(!loop.state_.running.any()) {
        if (!outermost_) return;
        RONDO_ASSERT(!loop.abandoned_, "this loop was abandoned after fork: only destroy it");
        loop_.owner_.store(loop_.poller_.system().thread_token(), std::memory_order_relaxed);
        if (!loop_.state_.sleeping) return;
        loop_.state_.sleeping = false;
        loop_.queue_->awake();
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() {
        if (!outermost_) return;
        loop_.now_known_ = false;
        loop_.owner_.store(0, std::memory_order_relaxed);
    }
    bool outermost() const noexcept { return outermost_; }

private:
    EventLoop& loop_;
    const bool outermost_;
};

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::run() {
    if (refuse()) return 0;
    RONDO_ASSERT(!state_.running.any(), "run() was called by a handler: only poll() may be nested");
    const Entry entry(*this);
    size_t ran = 0;
    while (!consume_stop() && alive()) ran += turn(Phases::all, Instant::max());
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::run_once(Phases phases) {
    if (refuse()) return 0;
    RONDO_ASSERT(!state_.running.any(),
                 "run_once() was called by a handler: only poll() may be nested");
    const Entry entry(*this);
    if (consume_stop()) return 0;
    const size_t ran = turn(phases, Instant::max());
    static_cast<void>(consume_stop());
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::poll(Phases phases) {
    if (refuse()) return 0;
    const Entry entry(*this);
    size_t ran = 0;
    if (rest_left(phases) && !state_.stopped()) ran += turn(phases, Instant::min());
    if (!state_.stopped()) ran += turn(phases, Instant::min());
    if (entry.outermost()) static_cast<void>(consume_stop());
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::run_for(Duration duration) {
    if (refuse()) return 0;
    RONDO_ASSERT(!state_.running.any(),
                 "run_for() was called by a handler: only poll() may be nested");
    const Entry entry(*this);
    const Instant until = poller_.now() + duration;
    size_t ran = 0;
    while (!consume_stop() && alive()) {
        ran += turn(Phases::all, until);
        if (!state_.stopped() && poller_.now() >= until) break;
    }
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::turn(Phases phases, Instant limit) {
    const bool with_io = rondo::any(phases, Phases::io);
    const bool with_hooks = rondo::any(phases, Phases::hooks);
    if (with_io && !rest_left(phases)) {
        bool left = false;
        if (with_hooks && !hooks_.empty() && !prepared_) {
            hooks_.run(detail::HookTime::before_sleep);
            // A stop in a poll() that a hook has called may have left events: a wait drops them.
            left = rest_left(phases);
        }
        if (!left) {
            descriptors_.flush();
            wait(limit, rondo::any(phases, Phases::timers));
        }
        if (with_hooks) {
            prepared_ = false;
            if (!hooks_.empty()) hooks_.run(detail::HookTime::after_sleep);
        }
    }
    size_t ran = 0;
    if (with_io && !state_.stopped()) ran += descriptors_.dispatch();
    if (signals_.has_rest() && with_io && !state_.stopped()) ran += signals_.run();
    // Where tasks were left, the timers of that turn have had their phase.
    if ((timers_.has_rest() || (!timers_.idle() && !queue_->has_rest())) &&
        rondo::any(phases, Phases::timers) && !state_.stopped()) {
        ran += timers_.run([this] { return poller_.now(); });
    }
    if (rondo::any(phases, Phases::tasks) && queue_->has_work() && !state_.stopped()) {
        ran += run_tasks();
    }
    had_work_ = ran != 0;
    observer_.has_turned(ran);
    return ran;
}

// Blocks only if nothing at all is left to do, and something could end the wait. S1 to S4 are the
// steps of the sleeping protocol, described in core/post_queue.hpp.
template <Poller P, LoopObserver Observer, Memory M>
inline void EventLoop<P, Observer, M>::wait(Instant limit, bool with_timers) {
    Instant deadline = Instant::min();
    if (limit != Instant::min() && !descriptors_.has_failures() && !timers_.has_rest()) {
        const bool timed = with_timers && !timers_.idle();
        const bool finite = timed || limit != Instant::max();
        if (finite && had_work_ && !state_.stopped() && !queue_->has_work() && !ask_first()) {
            return;
        }
        if (queue_->prepare_sleep(alone()) &&  // S1
            !state_.stopped() && alive()) {    // S2
            // Only now: the exact answer pays for what later moves and cancellations have left.
            deadline = timed ? earlier(limit, timers_.earliest()) : limit;
        }
    }
    ask(deadline);           // S3
    queue_->awake(alone());  // S4
}

// A finite timeout costs the kernel a timer of its own. A busy loop asks without one first; a quiet
// one, for which that is in vain, does so ever less often. True: nothing is there, go on and block.
template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::ask_first() {
    if (patience_ != 0) return --patience_, true;
    ask(Instant::min());
    if (descriptors_.has_rest()) {
        patience_next_ = 1;
        return false;
    }
    patience_ = patience_next_;
    if (patience_next_ < 64) patience_next_ *= 2;
    return true;
}

template <Poller P, LoopObserver Observer, Memory M>
inline void EventLoop<P, Observer, M>::ask(Instant deadline) {
    observer_.will_wait(deadline);
    const Result<size_t> arrived = poller_.wait(descriptors_.room(), deadline);
    RONDO_ASSERT(arrived, "the poller's wait failed: its descriptor was closed by somebody else");
    now_known_ = false;
    descriptors_.arrived(*arrived);
    observer_.has_waited(*arrived);
}

template <Poller P, LoopObserver Observer, Memory M>
size_t EventLoop<P, Observer, M>::run_tasks() {
    if (!queue_->has_rest() && !queue_->take()) return 0;
    const detail::Running::Frame frame(state_.running);
    size_t ran = 0;
    while (!state_.stopped() && queue_->run_one()) ++ran;
    return ran;
}

template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::rest_left(Phases phases) const noexcept {
    return (rondo::any(phases, Phases::io) && (descriptors_.has_rest() || signals_.has_rest())) ||
           (rondo::any(phases, Phases::timers) && timers_.has_rest()) ||
           (rondo::any(phases, Phases::tasks) && queue_->has_rest());
}

template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::busy() const noexcept {
    // In this order: a Remote that posts and goes has posted before it is seen to be gone.
    return queue_->has_foreground() || queue_->has_work() || rest_left(Phases::all);
}

template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::consume_stop() noexcept {
    if (!state_.stopped()) return false;
    state_.forget(detail::TurnState::stop);
    return true;
}

template <Poller P, LoopObserver Observer, Memory M>
Instant EventLoop<P, Observer, M>::now() noexcept {
    static_cast<void>(refuse());
    if (!now_known_) {
        now_ = poller_.now();
        now_known_ = owner_.load(std::memory_order_relaxed) != 0;
    }
    return now_;
}

template <Poller P, LoopObserver Observer, Memory M>
Duration EventLoop<P, Observer, M>::remaining(TimerId id) noexcept {
    const Instant at = deadline(id);
    if (at == Instant::max()) return never;
    const Duration left = at - poller_.now();
    return left > Duration() ? left : Duration();
}

template <Poller P, LoopObserver Observer, Memory M>
template <class Rule, class F>
TimerId EventLoop<P, Observer, M>::start(F&& handler, Instant deadline, int64_t period_ns,
                                         Where where) {
    if (refuse()) return {};
    disturb();
    return timers_.template start<Rule>(static_cast<F&&>(handler), deadline, period_ns, where);
}

template <Poller P, LoopObserver Observer, Memory M>
auto EventLoop<P, Observer, M>::hook(detail::HookTime time, Task& task) noexcept -> Hook {
    return Hook(*this, refuse() ? nullptr : hooks_.add(time, task));
}

template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::end_hook(HookRecord* record) noexcept {
    if (!refuse()) hooks_.remove(record);
}

template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::end_watch(typename Watch::Kind kind, SlabKey key) noexcept {
    if (refuse()) return;
    if (kind == Watch::Kind::signal) signals_.remove(key);
    if (kind == Watch::Kind::child) children_.remove(key);
    if (kind == Watch::Kind::fd && watching(kind, key)) {
        descriptors_.remove(static_cast<int>(key.index));
    }
}

template <Poller P, LoopObserver Observer, Memory M>
bool EventLoop<P, Observer, M>::watching(typename Watch::Kind kind, SlabKey key) noexcept {
    if (kind == Watch::Kind::signal) return signals_.valid(key);
    if (kind == Watch::Kind::child) return children_.valid(key);
    const auto* const slot = descriptors_.find(static_cast<int>(key.index));
    return kind == Watch::Kind::fd && slot != nullptr && slot->registered() &&
           slot->generation == key.generation;
}

template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::set_watch_background(typename Watch::Kind kind, SlabKey key,
                                                     bool on) noexcept {
    if (kind == Watch::Kind::fd) background(static_cast<int>(key.index), on);
    if (kind == Watch::Kind::child) children_.set_background(key, on);
}

// A change while a foreign loop waits for this one: wake it, so that it calls poll().
template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::disturb() noexcept {
    if (state_.sleeping) [[unlikely]]
        poller_.wake();
}

template <Poller P, LoopObserver Observer, Memory M>
Instant EventLoop<P, Observer, M>::prepare() {
    if (refuse()) return Instant::min();
    RONDO_ASSERT(!state_.running.any(), "prepare() is for a foreign loop, not for a handler");
    const Entry entry(*this);
    if (!prepared_) hooks_.run(detail::HookTime::before_sleep);
    prepared_ = true;
    if (!rest_left(Phases::all)) descriptors_.flush();
    const bool ready =
        state_.stopped() || rest_left(Phases::all) || !queue_->prepare_sleep(alone());
    state_.sleeping = !ready;
    if (!ready && state_.stopped()) return Instant::min();
    return ready ? Instant::min() : timers_.earliest();
}

template <Poller P, LoopObserver Observer, Memory M>
void EventLoop<P, Observer, M>::abandon() noexcept {
    abandoned_ = true;
    queue_->abandon();
    poller_.abandon();
}

template <Poller P, LoopObserver Observer, Memory M>
template <class Sink>
void EventLoop<P, Observer, M>::dump(Sink&& sink) {
    const auto say = [&sink](Text<192> line, const Where& where) {
        if (where.line != 0) line.append(" at ").append(where.file).append(':').append(where.line);
        sink(line.view());
    };
    descriptors_.for_each([&](int fd, const auto& slot) {
        using Slot = detail::FdSlot<M>;
        Text<192> line("fd ");
        line.append(fd).append(slot.has(Slot::internal) ? " (of the loop)" : "").append(':');
        if (rondo::any(slot.interest, Interest::read)) line.append(" read");
        if (rondo::any(slot.interest, Interest::priority)) line.append(" priority");
        if (rondo::any(slot.interest, Interest::write)) line.append(" write");
        if (directions(slot.interest) == Interest::none) line.append(" nothing");
        say(line.append(slot.has(Slot::background) ? ", background" : ""), slot.where);
    });
    children_.for_each([&](int pid, int fd) {
        Text<192> line("child ");
        sink(line.append(pid).append(" by fd ").append(fd).view());
    });
    const Instant at = poller_.now();
    timers_.for_each([&](TimerId id, const detail::TimerRecord& record) {
        const bool background = (record.flags & detail::TimerRecord::background) != 0;
        Text<192> line(record.period_ns != 0 ? "periodic timer" : "timer");
        const Instant deadline = timers_.deadline(id);
        if (deadline == Instant::max()) {
            line.append(": never");
        } else {
            line.append(" in ").append(static_cast<long long>((deadline - at).ns() / 1000000));
            line.append(" ms");
        }
        say(line.append(background ? ", background" : ""), record.where);
    });
    if (queue_->has_work()) sink(std::string_view("tasks: waiting"));
    if (queue_->has_foreground()) sink(std::string_view("remotes: in use"));
}

}  // namespace rondo::inline RONDO_ABI
