// SPDX-License-Identifier: BSL-1.0
#pragma once
// All that a descriptor of a simulated host can be, and visit(), which calls a function with an
// Object as what it is.

#include <rondo/sim/datagram_socket.hpp>
#include <rondo/sim/listen_queue.hpp>
#include <rondo/sim/pipe.hpp>
#include <rondo/sim/stream.hpp>

namespace rondo::inline RONDO_ABI::sim {

/// A descriptor that is readable or not.
class Flag final : public Object {
public:
    Flag() noexcept : Object(Kind::flag) {}

    Readiness state() const { return state_; }
    void set(bool readable) {
        state_ = readable ? Readiness::readable : Readiness::none;
        changed(Readiness::readable);
    }

private:
    Readiness state_ = Readiness::none;
};

template <class F>
auto visit(Object& object, F&& f) {
    switch (object.kind) {
        case Kind::stream:
            return f(static_cast<Stream&>(object));
        case Kind::listener:
            return f(static_cast<ListenQueue&>(object));
        case Kind::datagram:
            return f(static_cast<DatagramSocket&>(object));
        case Kind::pipe_reader:
            return f(static_cast<PipeReader&>(object));
        case Kind::pipe_writer:
            return f(static_cast<PipeWriter&>(object));
        case Kind::flag:
            break;
    }
    return f(static_cast<Flag&>(object));
}

inline Stream* Object::stream() {
    return kind == Kind::stream ? static_cast<Stream*>(this) : nullptr;
}
inline ListenQueue* Object::listener() {
    return kind == Kind::listener ? static_cast<ListenQueue*>(this) : nullptr;
}
inline DatagramSocket* Object::datagram() {
    return kind == Kind::datagram ? static_cast<DatagramSocket*>(this) : nullptr;
}

inline Readiness ReadySet::found_of(const Registration& one) {
    return visit(*one.object, [](const auto& its) { return its.state(); }) & one.wanted();
}
inline bool ReadySet::ready() {
    while (!queue_.empty()) {
        if (found_of(all_.find(queue_.front())->second) != Readiness::none) return true;
        take();
    }
    return false;
}

}  // namespace rondo::inline RONDO_ABI::sim
