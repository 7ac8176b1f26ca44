// SPDX-License-Identifier: BSL-1.0
#pragma once
// WorkerPool: threads that run blocking or heavy work for one loop. A job runs on one of them; what
// it returned or threw comes back to the loop's thread, where `done` is called. The number of jobs
// under way is bounded, results that wait for the loop included: a pool that is full refuses, and
// tells when there is room again.
//
// The threads are started by the constructor, so that submit() can't fail for want of one. It
// refuses to interrupt a job that runs, to have priorities, and to be shared by loops: each loop
// may have its own.

#include <thread>
#include <vector>

#include <rondo/loop/event_loop.hpp>
#include <rondo/thread/job.hpp>
#include <rondo/thread/quiet_threads.hpp>

namespace rondo::inline RONDO_ABI {

struct WorkerPoolOptions {
    size_t threads = 4;
    size_t jobs_max = 1024;  ///< submitted, and not told yet
};

namespace detail {

// The threads and their queue; its end stops and joins them.
struct Crew {
    JobQueue queue;
    std::vector<std::thread> threads;

    Crew() noexcept = default;
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;
    ~Crew() { stop(); }
    void stop() noexcept {
        queue.stop();
        for (std::thread& thread : threads) thread.join();
        threads.clear();
    }
};

}  // namespace detail

/// Neither copied nor moved: its workers point at it. Models WorkExecutor.
///
/// Lifetime: must not outlive the loop, nor be destroyed by a `done` (both asserted). Its end
/// cancels what hasn't started, waits for the jobs that run, and calls no `done`. A child after
/// fork has no workers, and must not destroy it.
/// Threads: loop thread; only the jobs run elsewhere. Workers block all signals but faults.
template <class Loop>
class WorkerPool {
public:
    using M = typename Loop::MemoryPolicy;
    using Task = typename Loop::Task;

    /// Errors: throws std::system_error if a thread can't be started, std::bad_alloc; stops the
    /// program where exceptions are off.
    explicit WorkerPool(Loop& loop, WorkerPoolOptions options = {});
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    ~WorkerPool();

    /// Calls `job()` on a worker, and then `done(Outcome<R>)` on the loop's thread, where R is what
    /// job returns. Jobs start in order; results come in any order. Keeps run() going until done is
    /// called. done may submit, cancel, throw, stop the loop, and destroy anything but the pool.
    /// Lifetime: both closures are destroyed on the loop's thread.
    /// Errors: the id tests false if the pool is full or drained, or memory is out; both closures
    /// are destroyed.
    /// Cost: one allocation. A worker that can't tell because memory is out waits for some.
    template <class F, class D>
    [[nodiscard("false if the job was refused: it is gone then, and done is never called")]]
    WorkId submit(F&& job, D&& done);

    /// Ends a job that hasn't started: neither it nor its done is called. False: too late, or gone.
    bool cancel(WorkId id) noexcept;

    /// Calls `f`, never from within a call of the pool, each time that there is room again after a
    /// refusal. A second one replaces the first.
    /// Errors: false if memory is out.
    bool on_space(Task f) {
        const bool due = space_.armed();  // the one before hasn't been told yet
        const Instant at = due ? Instant() : Instant::max();
        if (!f || !space_.at(at, SpaceAgain{*this, std::move(f)})) return false;
        loop_.background(space_.id(), !due);
        return true;
    }
    /// Takes no more jobs, and calls `f`, never from within a call of the pool, when all that were
    /// taken have been told. A second one replaces the first.
    /// Errors: false if memory is out; nothing has changed then.
    bool drain(Task f) {
        const Instant at = pending_ == 0 ? Instant() : Instant::max();
        if (!f || !drained_.at(at, std::move(f))) return false;
        closed_ = true;
        return true;
    }

    /// Jobs under way: waiting, running, or to be told.
    size_t pending() const noexcept { return pending_; }
    bool full() const noexcept { return pending_ >= options_.jobs_max; }
    size_t threads() const noexcept { return options_.threads; }

private:
    // A finished job on its way through the loop's queue.
    struct Told {
        WorkerPool* pool;
        detail::Job* job;

        Told(WorkerPool& with, detail::Job& finished) noexcept : pool(&with), job(&finished) {}
        Told(Told&& other) noexcept : pool(other.pool), job(std::exchange(other.job, nullptr)) {}
        Told& operator=(Told&&) = delete;
        ~Told() {
            if (job != nullptr) job->release(*job);
        }
        void operator()() {
            if (!job->orphan) pool->tell(*job);
        }
    };
    struct SpaceAgain {
        WorkerPool& pool;
        Task f;
        void operator()() {
            pool.space_.rearm(Instant::max());
            pool.loop_.background(pool.space_.id(), true);
            f();
        }
    };
    struct Telling {
        size_t& depth;
        explicit Telling(size_t& of) noexcept : depth(of) { ++depth; }
        Telling(const Telling&) = delete;
        Telling& operator=(const Telling&) = delete;
        ~Telling() { --depth; }
    };

    void serve(typename Loop::Remote& remote) noexcept;
    void tell(detail::Job& job);
    void left() noexcept;

    Loop& loop_;
    const WorkerPoolOptions options_;
    typename Loop::Remote busy_;  // in the foreground while jobs are under way
    typename Loop::Timer space_;
    typename Loop::Timer drained_;
    Slab<detail::Job*, M> jobs_;
    size_t pending_ = 0;
    size_t telling_ = 0;    // calls of done on the stack
    bool refused_ = false;  // somebody wants to know when there is room
    bool closed_ = false;
    detail::Crew crew_;
};

template <class Loop>
WorkerPool<Loop>::WorkerPool(Loop& loop, WorkerPoolOptions options)
    : loop_(loop),
      options_(options),
      busy_(loop.remote()),
      space_(loop.timer()),
      drained_(loop.timer()) {
    RONDO_ASSERT(options.threads > 0, "a worker pool needs at least one thread");
    RONDO_ASSERT(options.jobs_max > 0, "a worker pool needs room for at least one job");
    busy_.set_background(true);
    crew_.threads.reserve(options.threads);
    const detail::QuietThreads quiet;
    for (size_t i = 0; i < options.threads; ++i) {
        crew_.threads.emplace_back([this, remote = busy_]() mutable { serve(remote); });
    }
}

template <class Loop>
WorkerPool<Loop>::~WorkerPool() {
    RONDO_ASSERT(telling_ == 0, "a job's done must not destroy the pool that calls it");
    closed_ = true;
    crew_.stop();
    jobs_.for_each([this](SlabKey key, detail::Job* entry) {
        detail::Job& job = *entry;
        jobs_.erase(key);
        job.orphan = true;
        job.posted ? job.dispose(job) : job.release(job);
    });
}

template <class Loop>
template <class F, class D>
WorkId WorkerPool<Loop>::submit(F&& job, D&& done) {
    using Fn = std::decay_t<F>;
    using Dn = std::decay_t<D>;
    constexpr bool callable = std::is_invocable_v<Fn&>;
    static_assert(callable, "a job is called as f()");
    if constexpr (callable) {
        using Made = detail::JobOf<Fn, Dn, M>;
        constexpr bool fits = CallableWithTail<Dn, Outcome<typename Made::R>>;
        static_assert(fits,
                      "a job's done is called as f() or f(rondo::Outcome<R>), where R is "
                      "what the job returns");
        RONDO_ASSERT(!detail::holds_nothing<Fn>(job) && !detail::holds_nothing<Dn>(done),
                     "an empty job or done was given: give it a callable");
        static_cast<void>(loop_.deadline(TimerId()));  // asserts that this is the loop's thread
        if constexpr (fits) {
            if (full()) refused_ = true;
            if (closed_ || full()) return {};
            detail::Job* const made = Made::make(static_cast<F&&>(job), static_cast<D&&>(done));
            if (made == nullptr) return {};
            made->key = jobs_.insert(made);
            if (!made->key) {
                made->release(*made);
                return {};
            }
            const WorkId id{made->key};
            if (pending_++ == 0) busy_.set_background(false);
            crew_.queue.put(*made);
            return id;
        }
    }
    return {};
}

template <class Loop>
bool WorkerPool<Loop>::cancel(WorkId id) noexcept {
    static_cast<void>(loop_.deadline(TimerId()));
    detail::Job** const entry = jobs_.find(id.key);
    if (entry == nullptr) return false;
    detail::Job& job = **entry;
    if (!crew_.queue.remove(job)) return false;
    jobs_.erase(id.key);
    left();
    job.release(job);  // last: what the closures capture may use the pool
    return true;
}

// On a worker. The flag is read by the destructor, after the thread has ended.
template <class Loop>
void WorkerPool<Loop>::serve(typename Loop::Remote& remote) noexcept {
    while (detail::Job* const job = crew_.queue.take()) {
        job->run(*job);
        if (crew_.queue.stopping()) return;
        job->posted = true;
        Told told(*this, *job);
        while (remote.post(static_cast<Told&&>(told)) == PostStatus::no_memory) {
            if (crew_.queue.pause()) continue;
            told.job = nullptr;
            job->posted = false;
            return;
        }
    }
}

template <class Loop>
void WorkerPool<Loop>::tell(detail::Job& job) {
    jobs_.erase(job.key);
    left();
    const Telling telling(telling_);
    job.tell(job);
}

template <class Loop>
void WorkerPool<Loop>::left() noexcept {
    if (std::exchange(refused_, false) && space_.id()) {
        loop_.background(space_.id(), false);
        space_.rearm(Instant());
    }
    if (--pending_ != 0) return;
    if (closed_) drained_.rearm(Instant());
    busy_.set_background(true);
}

}  // namespace rondo::inline RONDO_ABI
