// SPDX-License-Identifier: BSL-1.0
#pragma once
// Signals as events of a loop. The system's signal descriptor is an ordinary watch of the loop,
// made when the first signal is asked for; when it is readable, the handlers of the signals that
// have arrived run, outside of any signal context. Several may watch one signal, in one loop or in
// several.

#include <stdint.h>

#include <utility>

#include <rondo/core/slab.hpp>
#include <rondo/loop/descriptors.hpp>

namespace rondo::inline RONDO_ABI::detail {

template <Poller P, Memory M>
class Signals {
public:
    using Handler = BasicSignalHandler<M>;

    Signals(P& poller, TurnState& state, Descriptors<P, M>& descriptors) noexcept
        : poller_(poller), state_(state), descriptors_(descriptors) {}

    [[gnu::cold]] Result<SlabKey> add(int signal, Handler& handler, Where where) {
        if (!handler) return Error(ENOMEM, "on_signal");
        if (auto opened = open(where); !opened) return opened.error();
        const SlabKey key = records_.insert(Record{signal, {}, std::move(handler)});
        if (!key) return Error(ENOMEM, "on_signal");
        records_.find(key)->key = key;
        if (auto added = poller_.system().add_signal(signal); !added) {
            records_.erase(key);
            return added.error();
        }
        return key;
    }

    [[gnu::cold]] void remove(SlabKey key) noexcept {
        Record* const record = records_.find(key);
        if (record == nullptr || record->signal == 0) return;
        poller_.system().remove_signal(std::exchange(record->signal, 0));
        if (std::exchange(record->due, false) && !record->running) --due_;
        if (!state_.retire(record)) records_.erase(key);
    }

    /// Handlers that an exception, a stop or a nested turn has left.
    bool has_rest() const noexcept { return due_ != 0; }

    /// Runs the handlers of the signals that have arrived. Returns how many.
    [[gnu::cold]] size_t run() {
        Frame frame(state_, *this);
        size_t ran = 0;
        bool go_on = true;
        records_.for_each([&](SlabKey, Record& record) {
            if (!go_on || !record.due || record.running) return;
            ++ran;
            frame.closure = &record;
            {
                const Call call(*this, record);
                record.handler.call(record.signal);
            }
            go_on = frame.settle();
        });
        return ran;
    }

    [[gnu::cold]] void clear() noexcept {
        records_.for_each([this](SlabKey key, Record&) { remove(key); });
    }

    bool valid(SlabKey key) noexcept {
        const Record* const record = records_.find(key);
        return record != nullptr && record->signal != 0;
    }

    /// CallFrame: the end of a signal watch that was removed while its handler ran.
    void destroy(const void* record) noexcept {
        records_.erase(static_cast<const Record*>(record)->key);
    }

private:
    struct Record {
        int signal;  // 0: removed
        SlabKey key;
        Handler handler;
        bool due = false;
        bool running = false;
    };
    // A signal that arrives while its handler runs (in a nested turn) is due when that returns:
    // until then it must not keep nested turns from polling.
    struct Call {
        Call(Signals& signals, Record& record) noexcept : self(signals), called(record) {
            called.due = false;
            called.running = true;
            --self.due_;
        }
        ~Call() {
            called.running = false;
            if (called.due) ++self.due_;
        }
        Signals& self;
        Record& called;
    };
    using Frame = CallFrame<Signals>;

    Result<void> open(Where where) {
        if (open_) return {};
        auto fd = poller_.system().open_signals();
        if (!fd) return fd.error();
        BasicIoHandler<M> arrived = [this] { take(); };
        auto added = descriptors_.add(*fd, Interest::read, arrived, nullptr,
                                      FdSlot<M>::background | FdSlot<M>::internal, where);
        open_ = static_cast<bool>(added);
        return added;
    }

    // The set is noted before the first handler runs: a watch that a handler makes isn't told of a
    // signal that came before it.
    void take() {
        const uint64_t arrived = poller_.system().take_signals();
        records_.for_each([&](SlabKey, Record& record) {
            if (record.signal == 0 || record.due) return;
            if ((arrived >> (record.signal - 1) & 1) == 0) return;
            record.due = true;
            if (!record.running) ++due_;
        });
    }

    P& poller_;
    TurnState& state_;
    Descriptors<P, M>& descriptors_;
    Slab<Record, M> records_;
    size_t due_ = 0;  // handlers to run, without those that are running
    bool open_ = false;
};

}  // namespace rondo::inline RONDO_ABI::detail
