// SPDX-License-Identifier: BSL-1.0
#pragma once
// SystemApi in a simulated world. Signals and ends of children come from the test; names are those
// of the world's hosts.

#include <errno.h>
#include <stdint.h>

#include <map>
#include <memory>
#include <span>
#include <utility>

#include <rondo/core/child_status.hpp>
#include <rondo/core/result.hpp>
#include <rondo/sim/world.hpp>

namespace rondo::inline RONDO_ABI {

class SimSystem {
public:
    SimSystem(sim::World& world, sim::Host& host) : world_(&world), host_(&host) {}

    /// As if that signal had come.
    void raise_signal(int number) {
        if (number < 1 || number > 64 || watchers_[number] == 0) return;
        pending_ |= uint64_t{1} << static_cast<unsigned>(number - 1);
        set_readable(signal_fd_, true);
    }
    /// As if that child had ended.
    void end_child(int pid, int code, bool signaled = false) {
        ended_[pid] = ChildStatus{pid, signaled, code};
        if (const auto at = child_fds_.find(pid); at != child_fds_.end()) {
            set_readable(at->second, true);
        }
    }

    // SystemApi.

    uintptr_t thread_token() noexcept { return 1; }  // a world has one thread
    bool single_threaded() noexcept { return true; }

    Result<int> open_signals() {
        if (host_->find(signal_fd_) == nullptr) {
            if (!host_->has_room()) return Error(EMFILE, "signalfd");
            signal_fd_ = host_->insert(std::make_shared<sim::Flag>());
        }
        return signal_fd_;
    }
    Result<void> add_signal(int number) {
        if (number < 1 || number > 64) return Error(EINVAL, "sigaction");
        ++watchers_[number];
        return {};
    }
    void remove_signal(int number) noexcept {
        if (number >= 1 && number <= 64 && watchers_[number] > 0) --watchers_[number];
    }
    uint64_t take_signals() noexcept {
        set_readable(signal_fd_, false);
        return std::exchange(pending_, 0);
    }

    Result<int> watch_child(int pid) {
        if (!host_->has_room()) return Error(EMFILE, "pidfd_open");
        const int fd = host_->insert(std::make_shared<sim::Flag>());
        child_fds_[pid] = fd;
        if (ended_.contains(pid)) set_readable(fd, true);
        return fd;
    }
    Result<ChildStatus> reap_child(int pid) {
        const auto at = ended_.find(pid);
        if (at == ended_.end()) return Error(EAGAIN, "waitpid");
        const ChildStatus status = at->second;
        ended_.erase(at);
        return status;
    }
    void unwatch_child(int pid, int fd) noexcept {
        child_fds_.erase(pid);
        host_->close(fd);
    }

    Result<size_t> resolve(const char* name, uint16_t port, Family family,
                           std::span<Endpoint> out) noexcept {
        if (world_->network().strikes(&sim::Faults::name_unknown)) {
            return Error(no_such_name, "resolve", name);
        }
        if (!world_->address_of(name, port)) return Error(no_such_name, "resolve", name);
        size_t count = 0;
        for (const Family each : {Family::ipv4, Family::ipv6}) {
            const bool asked = family == Family::none || family == each;
            if (asked && count < out.size()) out[count++] = world_->address_of(name, port, each);
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
        host_->close(std::exchange(signal_fd_, -1));
        for (int& watchers : watchers_) watchers = 0;
    }

private:
    void set_readable(int fd, bool on) {
        if (auto* const flag = static_cast<sim::Flag*>(host_->find(fd))) flag->set(on);
    }

    sim::World* world_;
    sim::Host* host_;
    int signal_fd_ = -1;
    uint64_t pending_ = 0;
    int watchers_[65] = {};  // of each signal
    std::map<int, int> child_fds_;
    std::map<int, ChildStatus> ended_;
};

}  // namespace rondo::inline RONDO_ABI
