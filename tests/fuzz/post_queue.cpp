// SPDX-License-Identifier: BSL-1.0
// PostQueue: the calls of three producers and of the consumer in any order. What one producer posts
// runs in its order, every closure is destroyed once, and a sleep is woken once at most, and always
// if something was posted into it. The steps within the calls are what tests/model tries.
#include <rondo/core/post_queue.hpp>

#include <array>
#include <optional>
#include <utility>

#include "fuzz/input.hpp"

using rondo::Malloc;
using rondo::PostStatus;
using rondo::detail::PostQueue;
using rondo::test::demand;
using rondo::test::Input;

namespace {

using Queue = PostQueue<Malloc>;

struct Heard {
    std::array<uint64_t, 4> last{};  // of each producer, and of the consumer's own
    int alive = 0;                   // closures
    size_t runs = 0;
};

class Task {
public:
    Task(Heard& heard, size_t from, uint64_t number)
        : heard_(&heard), from_(from), number_(number) {
        ++heard_->alive;
    }
    Task(Task&& other) noexcept : heard_(other.heard_), from_(other.from_), number_(other.number_) {
        ++heard_->alive;
    }
    Task& operator=(Task&&) = delete;
    ~Task() { --heard_->alive; }
    void operator()() {
        demand(number_ > heard_->last[from_], "what a producer posted ran out of order");
        heard_->last[from_] = number_;
        ++heard_->runs;
    }

private:
    Heard* heard_;
    size_t from_;
    uint64_t number_;
};

class Fuzzed {
public:
    Fuzzed()
        : queue_(Queue::create([](void* self) noexcept { static_cast<Fuzzed*>(self)->woken(); },
                               this)) {
        for (auto& producer : producers_) producer.emplace(*queue_);
    }
    ~Fuzzed() {
        close();
        producers_ = {};
        demand(heard_.alive == 0, "a closure was destroyed twice or never");
    }

    void step(Input& in) {
        const size_t who = in.below(3);
        auto& producer = *producers_[who];
        switch (in.below(10)) {
            case 0:
            case 1:
            case 2:
                post(who);
                break;
            case 3:
                if (queue_ != nullptr && queue_->defer(Task(heard_, 3, ++numbers_))) ++queued_;
                break;
            case 4:
                producer = Queue::Producer(producer);
                break;
            case 5:
                poke(producer);
                break;
            case 6:
                if (queue_ != nullptr) go_to_sleep();
                break;
            case 7:
                if (queue_ != nullptr) run(in.below(8));
                break;
            case 8:
                producer.set_background(in.below(2) == 0);
                break;
            default:
                if (in.below(50) == 1) close();
        }
    }

private:
    void woken() {
        demand(std::exchange(asleep_, false), "a loop was woken twice, or didn't sleep");
    }
    void post(size_t who) {
        const PostStatus status = producers_[who]->post(Task(heard_, who, ++numbers_));
        demand(status == (queue_ != nullptr ? PostStatus::queued : PostStatus::loop_gone),
               "a post says something else");
        if (queue_ == nullptr) return;
        ++queued_;
        demand(!asleep_, "a sleeping loop wasn't woken");
    }
    void poke(Queue::Producer& producer) {
        const bool slept = asleep_;
        demand(producer.poke() == slept && !asleep_, "a poke didn't wake, or didn't say so");
    }
    // S1; the other steps come with the next sleep or run.
    void go_to_sleep() {
        asleep_ = queue_->prepare_sleep();
        demand(asleep_ == (queued_ == heard_.runs), "it would sleep over work, or stay awake");
    }
    void run(uint64_t most) {
        queue_->awake();
        asleep_ = false;
        queue_->take();
        while (most-- > 0 && queue_->run_one()) {
        }
        demand(static_cast<size_t>(heard_.alive) == queued_ - heard_.runs,
               "a closure was destroyed too early or too late");
    }
    void close() {
        if (queue_ == nullptr) return;
        queue_->close();
        queue_ = nullptr;
        asleep_ = false;
        demand(heard_.alive == 0, "a closed queue holds closures");
    }

    bool asleep_ = false;
    uint64_t numbers_ = 0;
    size_t queued_ = 0;
    Heard heard_;
    Queue* queue_;
    std::array<std::optional<Queue::Producer>, 3> producers_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input in(data, size);
    Fuzzed fuzzed;
    while (!in.empty()) fuzzed.step(in);
    return 0;
}
