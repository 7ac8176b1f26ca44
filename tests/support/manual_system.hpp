// SPDX-License-Identifier: BSL-1.0
#pragma once
// SystemApi in a ManualWorld: signals come from ManualWorld::raise_signal, children end by
// ManualWorld::end_child, and both are readable descriptors as on a real system.

#include <errno.h>
#include <pthread.h>

#include <rondo/core/child_status.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/result.hpp>

#include "manual_world.hpp"

namespace rondo::test {

class ManualSystem {
public:
    explicit ManualSystem(ManualWorld& world) : world_(&world) {}

    uintptr_t thread_token() noexcept { return static_cast<uintptr_t>(pthread_self()); }
    bool single_threaded() noexcept { return false; }

    Result<int> open_signals() {
        if (world_->find(world_->signal_fd) == nullptr) world_->signal_fd = world_->open_scripted();
        return world_->signal_fd;
    }
    Result<void> add_signal(int number) {
        if (number < 1 || number > 64) return Error(EINVAL, "sigaction");
        world_->watched_signals |= bit(number);
        ++watchers_[number];
        return {};
    }
    void remove_signal(int number) noexcept {
        if (number < 1 || number > 64 || watchers_[number] == 0) return;
        if (--watchers_[number] == 0) world_->watched_signals &= ~bit(number);
    }
    uint64_t take_signals() noexcept {
        world_->set_ready(world_->signal_fd, Readiness::none);
        return std::exchange(world_->pending_signals, 0);
    }

    Result<int> watch_child(int pid) {
        const int fd = world_->open_scripted();
        world_->child_fds[pid] = fd;
        if (world_->ended_children.contains(pid)) world_->set_ready(fd, Readiness::readable);
        return fd;
    }
    Result<ChildStatus> reap_child(int pid) {
        const auto at = world_->ended_children.find(pid);
        if (at == world_->ended_children.end()) return Error(EAGAIN, "waitpid");
        const ChildStatus status = at->second;
        world_->ended_children.erase(at);
        return status;
    }
    void unwatch_child(int pid, int fd) noexcept {
        world_->child_fds.erase(pid);
        world_->close(fd);
    }

    /// Answers what the world's `hosts` say.
    Result<size_t> resolve(const char* name, uint16_t port, Family family,
                           std::span<Endpoint> out) noexcept {
        const auto known = world_->hosts.find(name);
        if (known == world_->hosts.end()) return Error(no_such_name, "resolve", name);
        size_t count = 0;
        for (const Endpoint& at : known->second) {
            if (count == out.size()) break;
            if (family != Family::none && at.family() != family) continue;
            out[count++] = at.with_port(port);
        }
        if (count == 0) return Error(no_such_address, "resolve", name);
        return count;
    }
    Result<int> inherited_fds() { return 0; }
    Result<void> pin_thread(int cpu) {
        if (cpu < 0) return Error(EINVAL, "pin_thread");
        return {};
    }

    void abandon() noexcept {
        world_->close(std::exchange(world_->signal_fd, -1));
        world_->watched_signals = 0;
    }

private:
    static uint64_t bit(int number) noexcept { return uint64_t{1} << (number - 1); }

    ManualWorld* world_;
    int watchers_[65] = {};  // of each signal
};

}  // namespace rondo::test
