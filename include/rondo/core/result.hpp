// SPDX-License-Identifier: BSL-1.0
#pragma once
// Result<T>: a value, or the Error that stands in its place. (std::expected is C++23.) Ask with
// `if (result)`, take the value with `*result`, or let value() throw.
//
// It refuses to hold references and has no monadic helpers.

#include <new>
#include <type_traits>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/core/error.hpp>
#include <rondo/core/raise.hpp>

namespace rondo::inline RONDO_ABI {

/// A T or an Error.
/// Errors: value() throws std::system_error (without exceptions it stops the program).
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}

    Result(const Error& error) noexcept : error_(error) {
        RONDO_ASSERT(error.code() != 0, "a Result is made of a value or of a real error");
    }

    Result(Result&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
        : error_(other.error_) {
        if (!error_) ::new (static_cast<void*>(&value_)) T(std::move(other.value_));
    }

    /// Only where moving a T can't throw, which would leave neither the old value nor the new one.
    Result& operator=(Result&& other) noexcept
        requires std::is_nothrow_move_constructible_v<T>
    {
        if (this != &other) {
            this->~Result();
            ::new (static_cast<void*>(this)) Result(std::move(other));
        }
        return *this;
    }

    ~Result() {
        if (!error_) value_.~T();
    }

    explicit operator bool() const noexcept { return !error_; }
    /// The error; "no error" if there is a value.
    const Error& error() const noexcept { return error_; }

    T& operator*() & noexcept { return checked(); }
    T&& operator*() && noexcept { return std::move(checked()); }
    const T& operator*() const& noexcept { return const_cast<Result*>(this)->checked(); }
    T* operator->() noexcept { return &checked(); }
    const T* operator->() const noexcept { return &const_cast<Result*>(this)->checked(); }

    T& value() & {
        if (error_) detail::raise(error_);
        return value_;
    }
    const T& value() const& {
        if (error_) detail::raise(error_);
        return value_;
    }
    T value() && {
        if (error_) detail::raise(error_);
        return std::move(value_);
    }

private:
    T& checked() noexcept {
        RONDO_ASSERT(!error_, "look whether a Result holds a value before you take it");
        return value_;
    }

    Error error_;
    union {
        T value_;
    };
};

/// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
public:
    Result() noexcept = default;
    Result(const Error& error) noexcept : error_(error) {
        RONDO_ASSERT(error.code() != 0, "a Result is made of a value or of a real error");
    }

    explicit operator bool() const noexcept { return !error_; }
    const Error& error() const noexcept { return error_; }
    void value() const {
        if (error_) detail::raise(error_);
    }

private:
    Error error_;
};

}  // namespace rondo::inline RONDO_ABI
