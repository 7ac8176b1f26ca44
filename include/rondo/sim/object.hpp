// SPDX-License-Identifier: BSL-1.0
#pragma once
// Object: what a descriptor of a simulated host stands for. ReadySet: the registrations of one
// poller, of which it queues those that may be ready, as a kernel does, so that a wait costs what
// is ready and not what is there.

#include <errno.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <rondo/backend/readiness.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/io_result.hpp>
#include <rondo/core/socket_types.hpp>

namespace rondo::inline RONDO_ABI::sim {

class DatagramSocket;
class ListenQueue;
class Object;
class ReadySet;
class Stream;

inline constexpr auto every_readiness = static_cast<Readiness>(0x3f);

/// A descriptor in a poller's set.
struct Registration {
    ReadySet* set;
    std::shared_ptr<Object> object;
    int fd;
    Interest interest;
    Token token;
    bool armed = true;    // false: a one-shot that was reported
    bool queued = false;  // it may be ready

    Readiness wanted() const noexcept {
        if (!armed || directions(interest) == Interest::none) return Readiness::none;
        auto bits = static_cast<Readiness>(directions(interest));
        if (any(interest, Interest::read)) bits |= Readiness::read_closed;
        return bits | Readiness::error | Readiness::hangup;
    }
};

/// What an Object is; visit() in kinds.hpp turns it into a type.
enum class Kind : uint8_t { stream, listener, datagram, pipe_reader, pipe_writer, flag };

/// What all kinds have, and what those answer that have no call of this name.
class Object {
public:
    explicit Object(Kind of) noexcept : kind(of) {}
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;

    IoResult read(std::span<std::byte>) { return {0, EINVAL}; }
    IoResult write(std::span<const std::byte>) { return {0, EINVAL}; }
    int shutdown(Shutdown) { return ENOTSOCK; }
    void close() {}
    void set_buffer(size_t) {}

    // nullptr: it is of another kind. Defined in kinds.hpp.
    Stream* stream();
    ListenQueue* listener();
    DatagramSocket* datagram();

    int take_error() { return std::exchange(error_, 0); }

    /// Some of these bits may be set that weren't, or what they tell of is there anew.
    inline void changed(Readiness bits);
    /// Leaves all sets.
    inline void forget();

    const Kind kind;
    Family family = Family::unix_path;
    Endpoint local;
    Endpoint peer;
    bool linger_reset = false;
    bool dual_stack = false;  // bound to the wildcard of IPv6, it also takes IPv4

protected:
    int error_ = 0;

private:
    friend ReadySet;
    std::vector<Registration*> registrations_;
};

class ReadySet {
public:
    ReadySet() = default;
    ReadySet(const ReadySet&) = delete;
    ReadySet& operator=(const ReadySet&) = delete;
    ~ReadySet() { clear(); }

    /// These answer an errno, or 0.
    int add(int fd, std::shared_ptr<Object> object, Interest interest, Token token) {
        if (!object) return EBADF;
        const auto [at, added] =
            all_.try_emplace(fd, Registration{this, std::move(object), fd, interest, token});
        if (!added) return EEXIST;
        at->second.object->registrations_.push_back(&at->second);
        queue(at->second);
        return 0;
    }
    int modify(int fd, Interest interest, Token token) {
        const auto at = all_.find(fd);
        if (at == all_.end()) return ENOENT;
        Registration& one = at->second;
        one.interest = modes(one.interest) | directions(interest);
        one.token = token;
        one.armed = true;
        queue(one);
        return 0;
    }
    int remove(int fd) {
        const auto at = all_.find(fd);
        if (at == all_.end()) return ENOENT;
        std::erase(at->second.object->registrations_, &at->second);
        if (at->second.queued) std::erase(queue_, fd);
        all_.erase(at);
        return 0;
    }
    void clear() {
        while (!all_.empty()) remove(all_.begin()->first);
    }

    /// True if there is something to report. Defined in kinds.hpp.
    bool ready();
    /// Reports what is ready, and nothing twice. What stays ready goes to the end of the queue.
    template <class Event>
    size_t collect(std::span<Event> out) {
        size_t count = 0;
        for (size_t left = queue_.size(); left > 0 && count < out.size(); --left) {
            Registration& one = take();
            const Readiness found = found_of(one);
            if (found == Readiness::none) continue;
            out[count++] = Event(one.token, found);
            if (any(one.interest, Interest::oneshot)) one.armed = false;
            if (!any(one.interest, Interest::edge | Interest::oneshot)) queue(one);
        }
        return count;
    }

private:
    friend Object;

    static Readiness found_of(const Registration& one);

    void queue(Registration& one) {
        if (!std::exchange(one.queued, true)) queue_.push_back(one.fd);
    }
    Registration& take() {
        Registration& one = all_.find(queue_.front())->second;
        queue_.pop_front();
        one.queued = false;
        return one;
    }

    std::map<int, Registration> all_;
    std::deque<int> queue_;
};

inline void Object::changed(Readiness bits) {
    for (Registration* const one : registrations_) {
        if (any(bits, one->wanted())) one->set->queue(*one);
    }
}

inline void Object::forget() {
    while (!registrations_.empty()) {
        registrations_.back()->set->remove(registrations_.back()->fd);
    }
}

}  // namespace rondo::inline RONDO_ABI::sim
