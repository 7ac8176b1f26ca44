// SPDX-License-Identifier: BSL-1.0
#pragma once
// A socket that waits for connections.

#include <deque>
#include <memory>
#include <utility>

#include <rondo/sim/network.hpp>
#include <rondo/sim/object.hpp>
#include <rondo/sim/stream.hpp>

namespace rondo::inline RONDO_ABI::sim {

class ListenQueue final : public Object, public std::enable_shared_from_this<ListenQueue> {
public:
    ListenQueue(Network& network, size_t backlog)
        : Object(Kind::listener), network_(network), backlog_(backlog) {}

    Readiness state() const {
        return waiting_.empty() || stalled_ ? Readiness::none : Readiness::readable;
    }
    bool full() const noexcept { return waiting_.size() >= backlog_; }
    void push(std::shared_ptr<Stream> end) {
        waiting_.push_back(std::move(end));
        changed(Readiness::readable);
    }
    /// The one that has waited longest; nullptr if there is none, or none for a little while.
    std::shared_ptr<Stream> pop() {
        while (!waiting_.empty() && !stalled_) {
            if (network_.strikes(&Faults::spurious)) {
                stall();
                break;
            }
            const auto end = std::move(waiting_.front());
            waiting_.pop_front();
            if (!network_.strikes(&Faults::accept_aborted)) return end;
            end->reset();
            end->close();
        }
        return nullptr;
    }
    void close() {
        for (const auto& end : waiting_) {
            end->linger_reset = true;
            end->close();
        }
        waiting_.clear();
    }

private:
    void stall() {
        stalled_ = true;
        network_.after(Duration::microseconds(100), [self = weak_from_this()] {
            const auto here = self.lock();
            if (!here) return;
            here->stalled_ = false;
            here->changed(Readiness::readable);
        });
    }

    Network& network_;
    const size_t backlog_;
    bool stalled_ = false;
    std::deque<std::shared_ptr<Stream>> waiting_;
};

}  // namespace rondo::inline RONDO_ABI::sim
