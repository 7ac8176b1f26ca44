// SPDX-License-Identifier: BSL-1.0
#pragma once
// The descriptor part of a loop: who is registered with what interest, which changes are still to
// be told to the poller, and whose handler an event reaches.
//
// add and remove act at once, also in the kernel. Changes of interest are merged and applied before
// the next wait, so a handler that switches writing on and off costs no system call. A slot has a
// generation that its events carry: a late event of a number that was removed, or closed and
// reused, finds another generation and is dropped.

#include <span>
#include <utility>

#include <rondo/backend/poller.hpp>
#include <rondo/core/pool.hpp>
#include <rondo/loop/fd_table.hpp>
#include <rondo/loop/turn_state.hpp>

namespace rondo::inline RONDO_ABI::detail {

template <Poller P, Memory M>
class Descriptors {
public:
    using IoHandler = BasicIoHandler<M>;
    using Slot = FdSlot<M>;
    using Event = typename P::Event;
    static constexpr size_t batch_min = 64;
    static constexpr size_t batch_max = 4096;

    Descriptors(P& poller, TurnState& state) noexcept : poller_(poller), state_(state) {}

    /// An empty `on_write` leaves both directions to `on_read`.
    Result<void> add(int fd, Interest interest, IoHandler& on_read, IoHandler* on_write,
                     unsigned flags, Where where) {
        if (fd < 0) return Error::on_fd(EBADF, "add", fd);
        Slot* slot = table_.find(fd);
        if (slot != nullptr && slot->registered()) return Error::on_fd(EEXIST, "add", fd);
        if (!on_read || (on_write != nullptr && !*on_write) ||
            !changes_.reserve(changes_.size() + registered_ + 1)) {
            return Error::on_fd(ENOMEM, "add", fd);
        }
        IoHandler* const read = closures_.create(std::move(on_read));
        IoHandler* const write = read != nullptr && on_write != nullptr
                                     ? closures_.create(std::move(*on_write))
                                     : nullptr;
        Result<void> added = read == nullptr || (on_write != nullptr && write == nullptr)
                                 ? Result<void>(Error::on_fd(ENOMEM, "add", fd))
                                 : tell_add(fd, interest, slot);
        if (added && slot == nullptr) {
            // Only now: a number that isn't open must not make the table grow.
            slot = table_.make(fd);
            if (slot == nullptr) {
                static_cast<void>(poller_.remove(fd, interest));
                added = Error::on_fd(ENOMEM, "add", fd);
            }
        }
        if (!added) {
            if (read != nullptr) closures_.destroy(read);
            if (write != nullptr) closures_.destroy(write);
            return added;
        }
        slot->read = read;  // NOLINT(clang-analyzer-core.NullDereference): without a slot !added
        slot->write = write;
        slot->interest = slot->applied = interest;
        slot->where = where;
        slot->clear(Slot::background | Slot::internal | Slot::failed | Slot::forced |
                    Slot::mute_read | Slot::mute_write);
        slot->set(flags);
        slot->refresh();
        ++registered_;
        if (!slot->has(Slot::background)) ++state_.alive;
        return added;
    }

    void modify(int fd, Interest interest) noexcept {
        Slot* const slot = table_.find(fd);
        RONDO_ASSERT(slot != nullptr && slot->registered(),
                     "modify: this descriptor isn't registered; add it first");
        const Interest wanted = directions(interest) | modes(slot->interest);
        if (wanted != slot->interest) {
            slot->interest = wanted;
            slot->refresh();
            enqueue(fd, *slot);
        }
        if (directions(wanted) == Interest::none) forget_unheard(fd);
    }

    [[gnu::cold]] Result<void> replace(int fd, Interest direction, IoHandler& handler) {
        Slot* const slot = table_.find(fd);
        RONDO_ASSERT(slot != nullptr && slot->registered(),
                     "replace: this descriptor isn't registered; add it first");
        const bool reading = rondo::any(direction, Interest::read | Interest::priority);
        const bool writing = rondo::any(direction, Interest::write);
        RONDO_ASSERT(reading || writing, "replace: name the direction, Interest::read or ::write");
        IoHandler* const closure = handler ? closures_.create(std::move(handler)) : nullptr;
        if (closure == nullptr) return Error::on_fd(ENOMEM, "replace", fd);
        // A handler of both directions keeps the other one, if that is watched.
        const Interest other = reading ? Interest::write : Interest::read | Interest::priority;
        const bool both = reading && writing;
        const bool shared = slot->write == nullptr && rondo::any(slot->interest, other) && !both;
        IoHandler* first = nullptr;
        IoHandler* second = nullptr;
        if (shared) {
            slot->write = reading ? std::exchange(slot->read, closure) : closure;
        } else {
            IoHandler*& own = reading || slot->write == nullptr ? slot->read : slot->write;
            first = std::exchange(own, closure);
        }
        if (both) second = std::exchange(slot->write, nullptr);
        if (reading) slot->set(Slot::mute_read);
        if (writing) slot->set(Slot::mute_write);
        if (rondo::any(slot->interest, Interest::edge)) slot->set(Slot::forced);
        slot->refresh();
        enqueue(fd, *slot);
        release(first);
        release(second);
        return {};
    }

    void remove(int fd) noexcept { remove(fd, true); }
    /// The same for a descriptor that is to be closed at once: closing may be all that it takes.
    void remove_before_close(int fd) noexcept { remove(fd, !P::traits.closing_removes); }

    Interest interest(int fd) noexcept {
        const Slot* const slot = table_.find(fd);
        return slot != nullptr && slot->registered() ? slot->interest : Interest::none;
    }

    [[gnu::cold]] void set_background(int fd, bool background) noexcept {
        Slot* const slot = table_.find(fd);
        RONDO_ASSERT(slot != nullptr && slot->registered(),
                     "background: this descriptor isn't registered; add it first");
        if (slot->has(Slot::background) == background) return;
        background ? slot->set(Slot::background) : slot->clear(Slot::background);
        background ? --state_.alive : ++state_.alive;
    }

    Slot* find(int fd) noexcept { return table_.find(fd); }
    template <class F>
    void for_each(F&& f) {
        table_.for_each(f);
    }

    /// Tells the poller all merged changes: one call per descriptor whose interest really differs.
    /// A change that fails stays in the list, for dispatch to deliver.
    void flush() noexcept {
        if (!changes_.empty()) flush_changes();
    }

    void flush_changes() noexcept {
        size_t kept = 0;
        for (size_t i = 0; i < changes_.size(); ++i) {
            const int fd = changes_[i];
            Slot& slot = *table_.find(fd);
            if (slot.registered() && !apply(fd, slot)) {
                changes_[kept++] = fd;
                continue;
            }
            slot.clear(Slot::queued | Slot::fresh | Slot::mute_read | Slot::mute_write |
                       Slot::forced);
            if (slot.registered()) slot.refresh();
        }
        changes_.truncate(kept);
        failures_ = kept;
    }

    bool has_failures() const noexcept { return failures_ != 0; }
    size_t rebuilds() const noexcept { return rebuilds_; }
    size_t registered() const noexcept { return registered_; }

    /// Destroys what registrations capture; the descriptors themselves are the user's.
    [[gnu::cold]] void clear() noexcept {
        table_.for_each([this](int, Slot& slot) {
            IoHandler* const read = std::exchange(slot.read, nullptr);
            IoHandler* const write = std::exchange(slot.write, nullptr);
            if (read != nullptr) closures_.destroy(read);
            if (write != nullptr) closures_.destroy(write);
        });
    }

    /// CallFrame: the end of a closure that was retired while it ran.
    void destroy(const void* closure) noexcept {
        closures_.destroy(static_cast<IoHandler*>(const_cast<void*>(closure)));
    }

    /// Makes the room for the first batch. False if memory is out.
    bool make_room() noexcept { return events_.resize(batch_min); }
    /// Room for the next batch; it doubles after a batch that was full (P8).
    std::span<Event> room() noexcept { return {events_.data(), events_.size()}; }
    /// The wait has filled `count` events.
    void arrived(size_t count) noexcept {
        if (count == events_.size()) [[unlikely]]
            more_room();
        next_ = events_.data();
        end_ = next_ + count;
        ++batches_;
    }
    /// Events or failures that haven't been delivered yet.
    bool has_rest() const noexcept { return next_ != end_ || has_failures(); }

    /// Calls the handlers of the batch, from where an exception, a stop or a nested turn has left
    /// it. Returns how many were called.
    size_t dispatch() {
        TurnState& state = state_;
        Frame frame(state, *this);
        const bool nested = frame.outer != nullptr;
        size_t ran = 0;
        while (next_ != end_) {
            const Event& event = *next_++;
            const Token token = event.token();
            Slot* const slot = table_.find(token.fd());
            if (slot == nullptr || slot->generation != token.generation()) [[unlikely]] {
                stale(event);
                continue;
            }
            const auto bits = static_cast<uint8_t>(event.readiness());
            if ((bits & slot->plain) == bits && !nested) [[likely]] {
                ++ran;
                frame.closure = slot->read;
                slot->read->call(token.fd(), static_cast<Readiness>(bits));
                if (state.unusual() && !frame.settle()) [[unlikely]]
                    break;
            } else if (!deliver_with_care(frame, *slot, token.fd(), bits, ran)) {
                break;
            }
        }
        if (has_failures() && !state_.stopped()) deliver_failures(frame, ran);
        return ran;
    }

private:
    using Frame = CallFrame<Descriptors>;
    struct Delivery;

    Result<void> tell_add(int fd, Interest interest, const Slot* slot) noexcept {
        const uint32_t generation = slot != nullptr ? slot->generation : Slot::first_generation;
        Result<void> added = poller_.add(fd, interest, Token(fd, generation));
        if (!added && added.error() == EEXIST) {
            // The kernel still holds what was closed without remove while a duplicate lived, and
            // the duplicate has come back under this number.
            static_cast<void>(poller_.remove(fd, interest));
            added = poller_.add(fd, interest, Token(fd, generation));
        }
        return added;
    }

    // False if the change failed and is still to be delivered.
    bool apply(int fd, Slot& slot) noexcept {
        if (slot.has(Slot::failed)) return false;
        if (slot.interest == slot.applied && !slot.has(Slot::forced)) return true;
        const Token token(fd, slot.generation);
        Result<void> told = poller_.modify(fd, slot.applied, slot.interest, token);
        if (!told && told.error() == ENOENT) told = poller_.add(fd, slot.interest, token);
        slot.applied = slot.interest;
        if (told) return true;
        slot.set(Slot::failed);
        slot.clear(Slot::forced);  // told once
        return false;
    }

    // Never fails: add has reserved a place for every registration.
    void enqueue(int fd, Slot& slot) noexcept {
        if (slot.has(Slot::queued)) return;
        slot.set(Slot::queued);
        static_cast<void>(changes_.push_back(fd));
    }

    void remove(int fd, bool tell) noexcept {
        Slot* const slot = table_.find(fd);
        if (slot == nullptr || !slot->registered()) return;
        IoHandler* const read = std::exchange(slot->read, nullptr);
        IoHandler* const write = std::exchange(slot->write, nullptr);
        // 0 is never a generation, so that no token of a registration is all zeros or all ones.
        if (++slot->generation >= 0x7fffffff) slot->generation = 1;
        slot->set(Slot::fresh);
        --registered_;
        if (!slot->has(Slot::background)) --state_.alive;
        enqueue(fd, *slot);
        // An error means that the descriptor was closed first; stale() deals with what that leaves.
        if (tell) static_cast<void>(poller_.remove(fd, slot->applied));
        release(read);
        release(write);
    }

    void release(IoHandler* closure) noexcept {
        if (closure != nullptr && !state_.retire(closure)) closures_.destroy(closure);
    }

    bool call(Frame& frame, IoHandler* closure, int fd, Readiness readiness) {
        frame.closure = closure;
        closure->call(fd, readiness);
        if (!state_.unusual()) [[likely]]
            return true;
        return frame.settle();
    }

    // True if an outer turn is inside this handler: it must not be entered again.
    bool busy(const Frame& frame, const IoHandler* handler) const noexcept {
        return frame.outer != nullptr && handler != nullptr && state_.running.contains(handler);
    }

    bool deliver_with_care(Frame& frame, Slot& slot, int fd, uint8_t bits, size_t& ran);
    void ask_again(int fd, Slot& slot, Interest unheard) noexcept;
    [[gnu::cold]] void forget_unheard(int fd) noexcept;
    // Without memory batches stay as large as they are.
    [[gnu::cold]] void more_room() noexcept {
        if (events_.size() < batch_max) static_cast<void>(events_.resize(events_.size() * 2));
    }
    [[gnu::cold]] void deliver_failures(Frame& frame, size_t& ran);
    [[gnu::cold]] void stale(const Event& event) noexcept;
    [[gnu::cold]] void rebuild() noexcept;

    P& poller_;
    TurnState& state_;
    FdTable<M> table_;
    Pool<IoHandler, M> closures_;
    Array<int, M> changes_;
    Array<Event, M> events_;
    Event* next_ = nullptr;  // in the batch: a nested turn, an exception or a stop leaves it there
    Event* end_ = nullptr;
    size_t failures_ = 0;  // the head of changes_: failed changes to deliver
    size_t registered_ = 0;
    size_t rebuilds_ = 0;
    size_t batches_ = 0;
    size_t next_rebuild_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail

#include <rondo/loop/dispatch.hpp>
