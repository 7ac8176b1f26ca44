// SPDX-License-Identifier: BSL-1.0
#pragma once
// One job of a WorkerPool: the user's two closures and what became of the first one, in one block
// of memory that is taken and given back on the loop's thread; and the queue by which jobs reach
// the workers.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>

#include <rondo/core/handler.hpp>
#include <rondo/core/work_executor.hpp>

namespace rondo::inline RONDO_ABI::detail {

struct Job {
    void (*run)(Job&) noexcept;      // on a worker: calls the job
    void (*tell)(Job&);              // on the loop's thread: calls done
    void (*dispose)(Job&) noexcept;  // destroys the closures and the outcome
    void (*release)(Job&) noexcept;  // the same, and gives the memory back
    Job* next = nullptr;             // of those that wait; the queue's
    Job* previous = nullptr;
    bool waiting = false;  // the queue's
    bool posted = false;   // its memory is the loop's to give back
    bool orphan = false;   // the pool has gone; the loop's thread
    SlabKey key = {};
};

/// Lifetime: closures are made and destroyed on the loop's thread.
template <class F, class D, Memory M>
struct JobOf : Job {
    using R = std::decay_t<std::invoke_result_t<F&>>;
    struct Parts {
        F job;
        D done;
        Outcome<R> outcome;

        template <class Fn, class Dn>
        Parts(Fn&& f, Dn&& d) : job(static_cast<Fn&&>(f)), done(static_cast<Dn&&>(d)) {}
    };

    template <class Fn, class Dn>
    static Job* make(Fn&& job, Dn&& done) {
        void* const memory = M::allocate(sizeof(JobOf), alignof(JobOf));
        if (memory == nullptr) return nullptr;
        struct Guard {
            void* memory;
            ~Guard() {
                if (memory != nullptr) M::release(memory, sizeof(JobOf), alignof(JobOf));
            }
        } guard{memory};
        JobOf* const made = ::new (memory) JobOf(static_cast<Fn&&>(job), static_cast<Dn&&>(done));
        guard.memory = nullptr;
        return made;
    }

    JobOf(const JobOf&) = delete;
    JobOf& operator=(const JobOf&) = delete;

private:
    template <class Fn, class Dn>
    JobOf(Fn&& job, Dn&& done)
        : Job{&run_it, &tell_it, &dispose_it, &release_it},
          parts_(static_cast<Fn&&>(job), static_cast<Dn&&>(done)) {}

    ~JobOf() {}  // dispose_it has destroyed the parts

    static JobOf& self(Job& job) noexcept { return static_cast<JobOf&>(job); }
    static void run_it(Job& job) noexcept { self(job).parts_.outcome.run(self(job).parts_.job); }
    static void tell_it(Job& job) {
        Parts& parts = self(job).parts_;
        CallTail<D, Outcome<R>>::call(parts.done, std::move(parts.outcome));
    }
    static void dispose_it(Job& job) noexcept {
        if (std::exchange(self(job).whole_, false)) self(job).parts_.~Parts();
    }
    static void release_it(Job& job) noexcept {
        dispose_it(job);
        M::release(&self(job), sizeof(JobOf), alignof(JobOf));
    }

    bool whole_ = true;
    union {
        Parts parts_;
    };
};

/// The jobs that wait for a worker, first come, first served.
/// Threads: any.
class JobQueue {
public:
    JobQueue() noexcept = default;
    JobQueue(const JobQueue&) = delete;
    JobQueue& operator=(const JobQueue&) = delete;

    void put(Job& job) noexcept {
        {
            const std::lock_guard lock(mutex_);
            job.waiting = true;
            job.previous = last_;
            (last_ != nullptr ? last_->next : first_) = &job;
            last_ = &job;
        }
        changed_.notify_one();
    }

    /// Waits for a job; nullptr: stopped.
    Job* take() noexcept {
        std::unique_lock lock(mutex_);
        while (first_ == nullptr && !stopping_) changed_.wait(lock);
        if (stopping_) return nullptr;
        Job* const job = first_;
        unlink(*job);
        return job;
    }

    /// Takes one out. False: it has been taken.
    bool remove(Job& job) noexcept {
        const std::lock_guard lock(mutex_);
        if (!job.waiting) return false;
        unlink(job);
        return true;
    }

    /// What waits is taken by nobody any more, and can't be removed.
    void stop() noexcept {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            while (first_ != nullptr) unlink(*first_);
        }
        changed_.notify_all();
        stopped_.notify_all();
    }
    bool stopping() noexcept {
        const std::lock_guard lock(mutex_);
        return stopping_;
    }
    /// Waits a little, for memory. False: stopped.
    bool pause() noexcept {
        std::unique_lock lock(mutex_);
        return !stopped_.wait_for(lock, std::chrono::milliseconds(5), [this] { return stopping_; });
    }

private:
    void unlink(Job& job) noexcept {
        (job.previous != nullptr ? job.previous->next : first_) = job.next;
        (job.next != nullptr ? job.next->previous : last_) = job.previous;
        job.next = job.previous = nullptr;
        job.waiting = false;
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::condition_variable stopped_;  // who waits for memory must not take the call of a job
    Job* first_ = nullptr;
    Job* last_ = nullptr;
    bool stopping_ = false;
};

}  // namespace rondo::inline RONDO_ABI::detail
