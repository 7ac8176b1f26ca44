// SPDX-License-Identifier: BSL-1.0
// TimerHeap against a std::multimap: the same deadlines, the same order, the same due set.
#include <rondo/core/timer_heap.hpp>

#include <map>
#include <vector>

#include "fuzz/input.hpp"

using rondo::Instant;
using rondo::test::demand;
using rondo::test::Input;

namespace {

using Heap = rondo::TimerHeap<uint64_t>;

// A deadline and when it was set.
using Order = std::pair<int64_t, uint64_t>;

class Pair {
public:
    void step(Input& in) {
        switch (in.below(8)) {
            case 0:
                if (slots_.size() < 1000) add(in);
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
        demand(heap_.size() == model_.size(), "the sizes differ");
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
        if (one.scheduled) model_.erase(one.order);
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
        if (one.scheduled) model_.erase(one.order);
        one.scheduled = false;
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
        const int64_t now = some_deadline(in);
        size_t due = 0;
        for (const auto& [order, slot] : model_) due += order.first <= now ? 1 : 0;
        demand(heap_.take_due(Instant(now)) == due, "another number is due");
        for (uint32_t slot = 0; (slot = heap_.next_due()) != Heap::npos; --due) {
            demand(!model_.empty() && model_.begin()->second == slot, "another one is due next");
            model_.erase(model_.begin());
            for (Slot& one : slots_) {
                if (one.slot == slot) one.scheduled = false;
            }
        }
        demand(due == 0, "not all of the due ones came");
    }

    Heap heap_;
    std::vector<Slot> slots_;
    std::map<Order, uint32_t> model_;
    uint64_t count_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input in(data, size);
    Pair pair;
    while (!in.empty()) pair.step(in);
    return 0;
}
