// SPDX-License-Identifier: BSL-1.0
#pragma once
// WorkExecutor: something that runs blocking or heavy work so that the loop doesn't have to. A
// WorkerPool is one, made of threads; a simulated world has another, and a test may run the jobs by
// hand.
//
// It refuses to know threads: what it promises is where the two closures are called.

#include <concepts>

#include <rondo/core/outcome.hpp>
#include <rondo/core/slab.hpp>

namespace rondo::inline RONDO_ABI {

/// Names one job of an executor. Tests false if it was refused; harmless once the job is gone.
struct WorkId {
    SlabKey key;

    explicit operator bool() const noexcept { return static_cast<bool>(key); }
    friend bool operator==(WorkId, WorkId) noexcept = default;
};

/// submit(job, done): calls job() somewhere, once, at any time; it must not touch the loop. Then
/// calls done(Outcome<R>) on the loop's thread, never before submit has returned. An id that tests
/// false: refused, and neither is called.
/// cancel(id): true if the job hadn't started; then neither is called. False: it is too late, and
/// done is still to be called, or was.
/// Both closures are destroyed on the loop's thread. The end of an executor calls nobody.
template <class E>
concept WorkExecutor = requires(E& executor, WorkId id, int (*job)(), void (*done)(Outcome<int>)) {
    { executor.submit(job, done) } -> std::same_as<WorkId>;
    { executor.cancel(id) } -> std::same_as<bool>;
};

}  // namespace rondo::inline RONDO_ABI
