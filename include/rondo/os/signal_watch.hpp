// SPDX-License-Identifier: BSL-1.0
#pragma once
// A place in the signal hub, as a value: opens on demand, moves by moving a pointer (the state that
// handlers look at stays where it is), and gives everything back when destroyed.

#include <stdint.h>

#include <utility>

#include <rondo/core/result.hpp>
#include <rondo/os/signal_hub.hpp>

namespace rondo::inline RONDO_ABI::detail {

/// The signals that one owner watches, each as often as it was added.
/// Threads: externally synchronised; several watches may be used by several threads at once.
template <class Policy>
class SignalWatch {
public:
    SignalWatch() noexcept = default;
    SignalWatch(SignalWatch&& other) noexcept : port_(std::exchange(other.port_, nullptr)) {}
    SignalWatch& operator=(SignalWatch&& other) noexcept {
        SignalWatch old(std::move(other));
        std::swap(port_, old.port_);
        return *this;
    }
    ~SignalWatch() {
        if (port_ != nullptr) signal_hub<Policy>.close(*port_);
    }

    /// The descriptor that tells of signals; the same one every time.
    Result<int> open() noexcept {
        if (port_ == nullptr) {
            const auto port = signal_hub<Policy>.open();
            if (!port) return port.error();
            port_ = *port;
        }
        return port_->fd();
    }

    Result<void> add(int number) noexcept {
        if (const auto fd = open(); !fd) return fd.error();
        return signal_hub<Policy>.add(*port_, number);
    }
    void remove(int number) noexcept {
        if (port_ != nullptr) signal_hub<Policy>.remove(*port_, number);
    }

    uint64_t take() noexcept { return port_ != nullptr ? port_->take() : 0; }
    void wake() noexcept { port_->wake(); }
    int fd() const noexcept { return port_ != nullptr ? port_->fd() : -1; }

    /// In a fork child: closes the child's descriptors and makes no other system call.
    void abandon() noexcept {
        if (port_ != nullptr) std::exchange(port_, nullptr)->abandon();
    }

private:
    typename SignalHub<Policy>::Port* port_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail
