// SPDX-License-Identifier: BSL-1.0
#pragma once
// The less travelled ways of an event to its handler: two handlers per descriptor, edges and
// one-shots that must not be lost, changes that failed, and events for registrations that are gone.
//
// The straight way is Descriptors::dispatch, in descriptors.hpp.

#include <rondo/loop/descriptors.hpp>

namespace rondo::inline RONDO_ABI::detail {

// An edge or a one-shot that nobody has heard in the end is asked for again, whatever way the calls
// end.
template <Poller P, Memory M>
struct Descriptors<P, M>::Delivery : Unheard {
    Descriptors& self;
    Slot& slot;
    const uint32_t generation;

    Delivery(Descriptors& owner, Slot& of, int number, Interest armed) noexcept
        : Unheard{number, armed, owner.state_.unheard},
          self(owner),
          slot(of),
          generation(of.generation) {
        self.state_.unheard = this;
    }
    Delivery(const Delivery&) = delete;
    Delivery& operator=(const Delivery&) = delete;
    ~Delivery() {
        self.state_.unheard = outer;
        if (directions == Interest::none || slot.generation != generation) return;
        self.ask_again(fd, slot, directions);
    }
};

// Two handlers run in the order of the barrier; the second only if the descriptor is still
// registered with its direction and its handler.
template <Poller P, Memory M>
bool Descriptors<P, M>::deliver_with_care(Frame& frame, Slot& slot, int fd, uint8_t bits,
                                          size_t& ran) {
    constexpr Interest reading = Interest::read | Interest::priority;
    constexpr Interest writing = Interest::write;
    const Interest armed = slot.interest;
    const bool oneshot = rondo::any(armed, Interest::oneshot);
    const auto accepted = static_cast<uint8_t>(bits & slot.accepts());
    if (accepted != bits && (accepted == 0 || !oneshot)) ask_again(fd, slot, Interest::none);
    if (accepted == 0) return true;
    if (oneshot) {
        slot.interest = slot.applied = modes(armed);
        slot.refresh();
    }
    Delivery unheard(*this, slot, fd, directions(armed));
    if (slot.write == nullptr) {
        if (busy(frame, slot.read)) return true;
        unheard.directions = Interest::none;
        return ++ran, call(frame, slot.read, fd, static_cast<Readiness>(accepted));
    }
    if ((accepted & 0x3bU) == 0) unheard.directions &= ~reading;
    if ((accepted & 0x1cU) == 0) unheard.directions &= ~writing;
    const bool write_first = rondo::any(armed, Interest::write_first);
    for (const bool write : {write_first, !write_first}) {
        const Interest direction = write ? writing : reading;
        if (!rondo::any(unheard.directions, direction)) continue;
        if (slot.generation != unheard.generation) return true;
        if (slot.has(write ? Slot::mute_write : Slot::mute_read)) continue;
        // A one-shot is disarmed in all directions by now, unless the first handler has re-armed
        // some.
        const bool disarmed = oneshot && directions(slot.interest) == Interest::none;
        if (!disarmed && !rondo::any(slot.interest, direction)) continue;
        IoHandler* const handler = write ? slot.write : slot.read;
        if (busy(frame, handler)) continue;
        unheard.directions &= ~direction;
        const auto told = static_cast<Readiness>(accepted & (write ? 0x3cU : 0x3bU));
        if (++ran, !call(frame, handler, fd, told)) return false;
    }
    return true;
}

// A level is reported again by itself. For an edge or a one-shot the next flush tells the poller
// the interest once more, which reports a state that still lasts (P4).
template <Poller P, Memory M>
void Descriptors<P, M>::ask_again(int fd, Slot& slot, Interest unheard) noexcept {
    if (slot.simple()) return;
    if (directions(slot.interest) == Interest::none &&
        rondo::any(slot.interest, Interest::oneshot)) {
        slot.interest |= unheard;
        slot.refresh();
    }
    slot.set(Slot::forced);
    enqueue(fd, slot);
}

// All directions were switched off. A one-shot is disarmed while its handlers run, so its interest
// doesn't tell that the second isn't to be called any more.
template <Poller P, Memory M>
void Descriptors<P, M>::forget_unheard(int fd) noexcept {
    const Slot& slot = *table_.find(fd);
    if (!rondo::any(slot.interest, Interest::oneshot)) return;
    for (Unheard* each = state_.unheard; each != nullptr; each = each->outer) {
        if (each->fd == fd) each->directions = Interest::none;
    }
}

// What a nested turn can't tell, because the handler is running, stays in the list of changes.
template <Poller P, Memory M>
void Descriptors<P, M>::deliver_failures(Frame& frame, size_t& ran) {
    for (size_t i = 0; i < failures_; ++i) {
        const int fd = changes_[i];
        Slot& slot = *table_.find(fd);
        if (!slot.registered() || !slot.has(Slot::failed)) continue;
        if (busy(frame, slot.read) || busy(frame, slot.write)) continue;
        slot.clear(Slot::failed);
        const uint32_t generation = slot.generation;
        IoHandler* const write = slot.write;
        if (++ran, !call(frame, slot.read, fd, Readiness::error)) return;
        if (write == nullptr || slot.generation != generation || slot.write != write) continue;
        if (++ran, !call(frame, write, fd, Readiness::error)) return;
    }
    failures_ = 0;
}

// An event whose registration is gone. In the batch during which it was removed that is as it
// should be. Later it means that a descriptor was closed without remove() while a duplicate of it
// lives: the kernel keeps such an entry under a number that can no longer be named (epoll(7),
// question 6).
template <Poller P, Memory M>
void Descriptors<P, M>::stale(const Event& event) noexcept {
    const Token token = event.token();
    if (token == Token::wake_up()) return;
    const Slot* const slot = table_.find(token.fd());
    if (slot != nullptr && slot->has(Slot::fresh)) return;
    const bool reused = slot != nullptr && slot->registered();
    if (!reused && poller_.remove(token.fd(), Interest::read)) return;
    rebuild();
}

// Not more often than every 64 batches: it costs a system call per registration.
template <Poller P, Memory M>
void Descriptors<P, M>::rebuild() noexcept {
    if (batches_ < next_rebuild_ || !poller_.reopen()) return;
    next_rebuild_ = batches_ + 64;
    ++rebuilds_;
    table_.for_each([this](int fd, Slot& slot) {
        slot.applied = slot.interest;
        if (poller_.add(fd, slot.interest, Token(fd, slot.generation))) return;
        slot.set(Slot::failed);
        enqueue(fd, slot);
    });
}

}  // namespace rondo::inline RONDO_ABI::detail
