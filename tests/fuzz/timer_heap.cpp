// SPDX-License-Identifier: BSL-1.0
// TimerHeap against a std::map: the same deadlines, the same order, the same due set, which is
// fetched in parts; once as it is, and once with so few numbers of scheduling that they run out.
#include <rondo/core/timer_heap.hpp>

#include <map>
#include <vector>

#include "fuzz/input.hpp"

using rondo::Instant;
using rondo::test::demand;
using rondo::test::Input;

namespace {

// A deadline and when it was set.
using Order = std::pair<int64_t, uint64_t>;

template <class Heap>
class Pair {
public:
    /// `used` numbers of scheduling are gone already.
    Pair(size_t most, int used) : most_(most) {
        const uint32_t slot = heap_.acquire().key.slot;
        for (int64_t i = 0; i < used; ++i) heap_.schedule(slot, Instant(i));
        heap_.unschedule(slot);
        heap_.release(slot);
    }

    void step(Input& in) {
        switch (in.below(8)) {
            case 0:
                if (slots_.size() < most_) add(in);
                break;
            case 1:
                if (!slots_.empty()) move(in);
                break;
            case 2:
                if (!slots_.empty()) cancel(slots_[in.below(slots_.size())]);
                break;
            case 3:
                if (!slots_.empty()) release(in.below(slots_.size()));
                break;
            case 4:
                demand(heap_.earliest().ns() == least(), "earliest() isn't the least deadline");
                break;
            case 5:
                demand(heap_.not_before().ns() <= least(), "not_before() is too late");
                break;
            default:
                run(in);
        }
        demand(heap_.size() == model_.size() + due_.size(), "the sizes differ");
    }

private:
    struct Slot {
        uint32_t slot;
        Order order;
        bool scheduled;
    };

    static int64_t some_deadline(Input& in) {
        const uint64_t kind = in.below(4);
        if (kind == 0) return in.number();
        return static_cast<int64_t>(in.below(kind == 1 ? 8 : 5000));
    }
    int64_t least() const { return model_.empty() ? INT64_MAX : model_.begin()->first.first; }

    void add(Input& in) {
        const auto acquired = heap_.acquire();
        demand(acquired.record != nullptr, "there is no memory");
        slots_.push_back({acquired.key.slot, {}, false});
        set(slots_.back(), some_deadline(in));
    }
    void move(Input& in) {
        Slot& one = slots_[in.below(slots_.size())];
        set(one, some_deadline(in));
    }
    void set(Slot& one, int64_t deadline) {
        forget(one);
        one.order = {deadline, ++count_};
        one.scheduled = true;
        model_[one.order] = one.slot;
        if (count_ % 2 == 0) {
            heap_.schedule(one.slot, Instant(deadline));
        } else {
            heap_.reschedule(one.slot, Instant(deadline));
        }
        demand(heap_.deadline(one.slot).ns() == deadline, "the deadline isn't what was set");
    }
    void cancel(Slot& one) {
        demand(heap_.unschedule(one.slot) == one.scheduled, "unschedule() says something else");
        forget(one);
        one.scheduled = false;
    }
    void forget(const Slot& one) {
        if (one.scheduled) model_.erase(one.order);
        if (one.scheduled) due_.erase(one.order);
    }
    void release(size_t index) {
        cancel(slots_[index]);
        const auto key = heap_.key(slots_[index].slot);
        demand(heap_.live(key), "an acquired slot's key is stale");
        heap_.release(slots_[index].slot);
        demand(!heap_.live(key), "a released slot's key is live");
        slots_[index] = slots_.back();
        slots_.pop_back();
    }
    void run(Input& in) {
        demand(heap_.due_left() != due_.empty(), "due_left() says something else");
        if (due_.empty()) {
            const int64_t now = some_deadline(in);
            while (!model_.empty() && model_.begin()->first.first <= now) {
                due_.insert(model_.extract(model_.begin()));
            }
            demand(heap_.take_due(Instant(now)) == due_.size(), "another number is due");
        }
        for (uint64_t left = in.below(64); left > 0; --left) fetch();
    }
    void fetch() {
        const uint32_t slot = heap_.next_due();
        demand((slot == Heap::npos) == due_.empty(), "too many or too few come");
        if (due_.empty()) return;
        demand(due_.begin()->second == slot, "another one is due next");
        due_.erase(due_.begin());
        for (Slot& one : slots_) {
            if (one.slot == slot) one.scheduled = false;
        }
    }

    const size_t most_;
    Heap heap_;
    std::vector<Slot> slots_;
    std::map<Order, uint32_t> model_, due_;
    uint64_t count_ = 0;
};

template <class Heap>
void play(Input in, size_t most, int used) {
    Pair<Heap> pair(most, used);
    while (!in.empty()) pair.step(in);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    play<rondo::TimerHeap<uint64_t>>({data, size}, 1000, 0);
    play<rondo::TimerHeap<uint64_t, rondo::Malloc, uint8_t>>({data, size}, 200, 200);
    return 0;
}
