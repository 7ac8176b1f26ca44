// SPDX-License-Identifier: BSL-1.0
#pragma once
// Outcome<R>: what became of a job that ran elsewhere: the value that it returned, or the exception
// that left it. It is carried back to whoever asked for the work. (A Result holds an Error, which
// is what a call of ours has to say; an Outcome holds what a user's function did.)
//
// Built without exceptions there is always a value.

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/config/platform.hpp>

namespace rondo::inline RONDO_ABI {

/// Move-only if R is.
/// Threads: a value; externally synchronised.
template <class R>
class Outcome {
    struct Nothing {};
    using Value = std::conditional_t<std::is_void_v<R>, Nothing, R>;

public:
    /// Of no job: neither a value nor an exception.
    Outcome() noexcept = default;

    /// Calls `job` and keeps what it returns or throws.
    template <class F>
    void run(F& job) noexcept {
#if RONDO_HAS_EXCEPTIONS
        try {
            keep(job);
        } catch (...) {
            exception_ = std::current_exception();
        }
#else
        keep(job);
#endif
    }

    /// True if the job has returned.
    explicit operator bool() const noexcept { return value_.has_value(); }
    /// What the job has thrown; null if nothing.
    const std::exception_ptr& exception() const noexcept { return exception_; }

    /// What the job has returned.
    Value& operator*() noexcept {
        RONDO_ASSERT(value_, "look whether an Outcome holds a value before you take it");
        return *value_;
    }
    Value* operator->() noexcept { return &**this; }

    /// What the job has returned, moved out.
    /// Errors: throws what the job has thrown.
    R value() {
        if (exception_) std::rethrow_exception(exception_);
        if constexpr (!std::is_void_v<R>) return std::move(**this);
    }

private:
    template <class F>
    void keep(F& job) {
        if constexpr (std::is_void_v<R>) {
            job();
            value_.emplace();
        } else {
            value_.emplace(job());
        }
    }

    std::optional<Value> value_;
    std::exception_ptr exception_;
};

}  // namespace rondo::inline RONDO_ABI
