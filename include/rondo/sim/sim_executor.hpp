// SPDX-License-Identifier: BSL-1.0
#pragma once
// SimExecutor: a WorkExecutor of a simulated world. A job takes as long as its world says, and runs
// on the loop's own thread when that time has come, so nothing of it depends on a scheduler.

#include <type_traits>
#include <utility>

#include <rondo/core/handler.hpp>
#include <rondo/core/slab.hpp>
#include <rondo/core/timer_heap.hpp>
#include <rondo/core/work_executor.hpp>
#include <rondo/sim/world.hpp>

namespace rondo::inline RONDO_ABI {

/// Models WorkExecutor. As many jobs as are submitted are under way at once.
/// Lifetime: must not outlive the loop. Its end calls nobody.
/// Threads: the world's.
template <class Loop>
class SimExecutor {
public:
    explicit SimExecutor(Loop& loop) noexcept : loop_(loop) {}
    SimExecutor(const SimExecutor&) = delete;
    SimExecutor& operator=(const SimExecutor&) = delete;
    ~SimExecutor() {
        jobs_.for_each([this](SlabKey, TimerKey timer) { loop_.cancel(timer); });
    }

    /// Calls `job()` after WorldOptions::job, and at once `done(Outcome<R>)`.
    /// Errors: the id tests false if memory is out.
    template <class F, class D>
    WorkId submit(F&& job, D&& done) {
        using R = std::invoke_result_t<std::decay_t<F>&>;
        const SlabKey key = jobs_.insert();
        if (!key) return {};
        sim::Network& network = loop_.poller().world().network();
        const TimerKey timer = loop_.after(
            network.random.in(network.options.job),
            [this, key, work = std::decay_t<F>(static_cast<F&&>(job)),
             tell = std::decay_t<D>(static_cast<D&&>(done))]() mutable {
                jobs_.erase(key);
                Outcome<R> outcome;
                outcome.run(work);
                detail::CallTail<std::decay_t<D>, Outcome<R>>::call(tell, std::move(outcome));
            });
        if (!timer) {
            jobs_.erase(key);
            return {};
        }
        *jobs_.find(key) = timer;
        return WorkId{key};
    }

    bool cancel(WorkId id) noexcept {
        const TimerKey* const timer = jobs_.find(id.key);
        if (timer == nullptr) return false;
        const TimerKey found = *timer;
        jobs_.erase(id.key);
        return loop_.cancel(found);
    }

private:
    Loop& loop_;
    Slab<TimerKey> jobs_;
};

}  // namespace rondo::inline RONDO_ABI
