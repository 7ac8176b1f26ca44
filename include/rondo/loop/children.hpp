// SPDX-License-Identifier: BSL-1.0
#pragma once
// Child processes as events of a loop: the system gives a descriptor that is readable when the
// child has ended, and the loop reaps that child and no other. The handler runs once; by then the
// watch is gone, so it may do what it likes.

#include <utility>

#include <rondo/core/slab.hpp>
#include <rondo/loop/descriptors.hpp>

namespace rondo::inline RONDO_ABI::detail {

template <Poller P, Memory M>
class Children {
public:
    using Handler = BasicChildHandler<M>;

    Children(P& poller, Descriptors<P, M>& descriptors) noexcept
        : poller_(poller), descriptors_(descriptors) {}

    [[gnu::cold]] Result<SlabKey> add(int pid, Handler& handler, Where where) {
        if (!handler) return Error(ENOMEM, "on_child");
        auto fd = poller_.system().watch_child(pid);
        if (!fd) return fd.error();
        const SlabKey key = records_.insert(Record{pid, *fd, std::move(handler)});
        Result<void> added = Error(ENOMEM, "on_child");
        if (key) {
            BasicIoHandler<M> ended = [this, key] { end(key); };
            added =
                descriptors_.add(*fd, Interest::read, ended, nullptr, FdSlot<M>::internal, where);
        }
        if (added) return key;
        poller_.system().unwatch_child(pid, *fd);
        records_.erase(key);
        return added.error();
    }

    [[gnu::cold]] void remove(SlabKey key) noexcept {
        Record* const record = records_.find(key);
        if (record == nullptr) return;
        descriptors_.remove(record->fd);
        poller_.system().unwatch_child(record->pid, record->fd);
        records_.erase(key);
    }

    void set_background(SlabKey key, bool background) noexcept {
        if (Record* const record = records_.find(key)) {
            descriptors_.set_background(record->fd, background);
        }
    }

    /// Calls f(pid, fd) for each.
    template <class F>
    void for_each(F&& f) {
        records_.for_each([&f](SlabKey, const Record& record) { f(record.pid, record.fd); });
    }

    bool valid(SlabKey key) noexcept { return records_.find(key) != nullptr; }

    [[gnu::cold]] void clear() noexcept {
        records_.for_each([this](SlabKey key, Record&) { remove(key); });
    }

private:
    struct Record {
        int pid;
        int fd;
        Handler handler;
    };

    [[gnu::cold]] void end(SlabKey key) {
        Record& record = *records_.find(key);
        auto reaped = poller_.system().reap_child(record.pid);
        if (!reaped && reaped.error() == EAGAIN) return;
        // Somebody else has reaped it: that it has ended is all that can be said.
        const ChildStatus status = reaped ? *reaped : ChildStatus{record.pid, false, -1};
        Handler handler = std::move(record.handler);
        remove(key);
        handler(status);
    }

    P& poller_;
    Descriptors<P, M>& descriptors_;
    Slab<Record, M> records_;
};

}  // namespace rondo::inline RONDO_ABI::detail
