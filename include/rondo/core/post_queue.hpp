// SPDX-License-Identifier: BSL-1.0
#pragma once
// The way into a loop for other threads: many producers, one consumer. Producers push closures onto
// a stack with one compare-and-swap; the consumer takes the whole stack with one exchange and turns
// it round, so the tasks of one producer run in the order of its posts. "Asleep" and "closed" are
// values of the stack's head, so that the same compare-and-swap tells a producer whether the loop
// is gone or must be woken.
//
// The queue is a reference-counted block that outlives its loop: a Producer can post to a loop that
// is gone, and is told so. It knows neither a poller nor threads: waking is a function pointer.

#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <new>
#include <utility>

#include <rondo/config/version.hpp>
#include <rondo/core/memory.hpp>
#include <rondo/core/task_node.hpp>
#include <rondo/core/task_pool.hpp>

// Sleeping (tests/model/wake.pml tries all orders). The head is empty, asleep, closed, or a node.
//   Consumer  S1  prepare_sleep(): compare-and-swap empty -> asleep; if that fails there is work.
//             S2  the loop looks again at its stop flag and at has_foreground(), and calls awake()
//                 if either says so.
//             S3  the loop blocks in the kernel.
//             S4  awake(): compare-and-swap asleep -> empty; if that fails somebody has taken the
//                 tag.
//   Producer  P1  post(): compare-and-swap head -> node. Who replaces "asleep" by its node
//             P2  calls wake, alone, and then counts it as finished.
//   Anybody   Q1  changes what the loop looks at in S2.
//             Q2  poke(): rewrites the head, "asleep" as empty, any other value as itself. Who
//                 replaces "asleep" goes on with P2.
// So a sleep is woken at most once, and a loop that doesn't sleep never. All of S1, P1 and Q2 are
// read-modify-writes of one word and therefore have one order: a Q2 before S1 hands its Q1 over to
// S2 (release, acquire), a Q2 or P1 after S1 finds "asleep" or the value of another one that did.
//
// Where no other thread exists nobody can come between the steps but a signal handler, which sees
// what its own thread has written: S1 and S4 are plain loads and stores then.
//
// Closing. A producer that has taken the tag is about to call wake on a poller that is about to
// die. So the consumer counts the tags that it found taken, and close() waits until as many wakes
// finished.

namespace rondo::inline RONDO_ABI {

/// What became of a posted closure.
enum class PostStatus : unsigned char {
    queued,     ///< it will be run once, or destroyed once if the loop ends first
    loop_gone,  ///< the loop has been destroyed; the closure too
    no_memory,  ///< nothing happened; the closure is where it was
};

namespace detail {

template <Memory M>
class PostQueue {
public:
    using Wake = void (*)(void*) noexcept;
    class Producer;

    /// A queue with one reference, the consumer's, to be given up with close(); nullptr: out of
    /// memory. `wake(context)` is called by other threads, at most once per sleep.
    static PostQueue* create(Wake wake, void* context) noexcept {
        void* place = M::allocate(sizeof(PostQueue), alignof(PostQueue));
        return place == nullptr ? nullptr : ::new (place) PostQueue(wake, context);
    }

    PostQueue(const PostQueue&) = delete;
    PostQueue& operator=(const PostQueue&) = delete;

    /// A new producer, which keeps the loop alive (see set_background).
    /// Threads: any, as long as the loop exists.
    Producer producer() noexcept { return Producer(*this); }

    /// Posts without a producer: two more shared words per call. False: out of memory, or closed.
    /// Threads: any, as long as the loop exists.
    template <class F>
    bool post_shared(F&& f);

    /// Ends the current sleep, or does nothing if the loop is awake. What the caller wrote before
    /// is seen by the loop before it sleeps again. True: woke it.
    /// Threads: any, as long as the loop exists.
    bool poke() noexcept;

    /// True while a producer exists that keeps the loop alive.
    bool has_foreground() const noexcept {
        // acquire: whoever sees the last one gone sees what it has posted.
        return foreground_.load(std::memory_order_acquire) != 0;
    }

    // The rest is the consumer's: one thread, the loop's.

    /// Appends to the tasks of the next take(), without an atomic instruction. False: out of
    /// memory, or closed; the closure is where it was.
    template <class F>
    bool defer(F&& f);

    /// Moves all that is queued now behind what is left of the batch: first what was deferred, in
    /// order, then what was posted, in the order of arrival. True: the batch isn't empty.
    bool take() noexcept;

    /// Runs the first task of the batch and destroys it; what it throws comes through, with the
    /// rest of the batch untouched. The task may post, defer, take and run others of the batch.
    /// False: the batch is empty.
    bool run_one();

    /// True if tasks are left in the batch.
    bool has_rest() const noexcept { return !batch_.empty(); }

    /// True if tasks are left in the batch, or deferred, or posted.
    bool has_work() const noexcept {
        return !batch_.empty() || !deferred_.empty() ||
               head_.load(std::memory_order_relaxed) > closed;
    }

    /// S1. False: there is work, don't sleep. `alone`: at this moment no other thread exists.
    [[gnu::always_inline]] bool prepare_sleep(bool alone = false) noexcept;

    /// S4. Does nothing if the consumer isn't asleep. `alone` as above.
    [[gnu::always_inline]] void awake(bool alone = false) noexcept;

    /// In the child after fork, before close(): forgets the threads that don't exist there.
    void abandon() noexcept {
        abandoned_ = true;
        pool_.abandon();
    }

    /// The consumer's farewell: no wake happens afterwards, every waiting closure is destroyed, and
    /// later posts are refused. Destructors of closures may use the queue. Afterwards the caller
    /// doesn't touch it again.
    [[gnu::cold]] void close() noexcept;

private:
    // Values of the head that are not a node.
    static constexpr uintptr_t empty = 0;
    static constexpr uintptr_t asleep = 1;
    static constexpr uintptr_t closed = 2;

    PostQueue(Wake wake, void* context) noexcept : wake_(wake), context_(context) {}
    ~PostQueue() = default;

    static TaskNode* as_node(uintptr_t head) noexcept {
        return head > closed ? reinterpret_cast<TaskNode*>(head) : nullptr;
    }

    bool push(TaskNode* node) noexcept;
    void finish_wake() noexcept;
    void append_posted(uintptr_t head) noexcept;

    // Puts a node back into its cache at the end of a scope, unless it has been queued.
    struct Unused {
        TaskCache<M>& cache;
        TaskNode* node;
        ~Unused() {
            if (node != nullptr) cache.untake(node);
        }
    };

    void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        // acq_rel: all that was done to the block happens before its end.
        if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        this->~PostQueue();
        M::release(this, sizeof(PostQueue), alignof(PostQueue));
    }

    void enter_foreground() noexcept { foreground_.fetch_add(1, std::memory_order_relaxed); }
    void leave_foreground() noexcept {
        if (foreground_.fetch_sub(1, std::memory_order_release) == 1) poke();
    }

    // Four cache lines: what every post writes; what is written now and then; the pool; the
    // consumer's.
    alignas(64) std::atomic<uintptr_t> head_{empty};

    alignas(64) const Wake wake_;
    void* const context_;
    std::atomic<size_t> references_{1};
    std::atomic<size_t> foreground_{0};
    std::atomic<size_t> wakes_finished_{0};

    alignas(64) TaskPool<M> pool_;

    alignas(64) TaskList batch_;
    TaskList deferred_;
    TaskCache<M> cache_;
    size_t tags_taken_ = 0;
    bool sleeping_ = false;
    bool closing_ = false;
    bool abandoned_ = false;
};

/// One thread's door to the queue. A copy is a new producer of the same kind, for another thread. A
/// producer that was moved from, or default-constructed, answers loop_gone.
/// Lifetime: may outlive the loop.
/// Threads: externally synchronised.
template <Memory M>
class PostQueue<M>::Producer {
public:
    Producer() noexcept = default;
    explicit Producer(PostQueue& queue) noexcept : queue_(&queue) {
        queue.retain();
        queue.enter_foreground();
    }

    Producer(const Producer& other) noexcept
        : queue_(other.queue_), background_(other.background_) {
        if (queue_ == nullptr) return;
        queue_->retain();
        if (!background_) queue_->enter_foreground();
    }
    Producer(Producer&& other) noexcept
        : queue_(std::exchange(other.queue_, nullptr)),
          cache_(std::move(other.cache_)),
          background_(other.background_) {}

    Producer& operator=(Producer other) noexcept {
        std::swap(queue_, other.queue_);
        cache_.swap(other.cache_);
        std::swap(background_, other.background_);
        return *this;
    }

    ~Producer() {
        if (queue_ == nullptr) return;
        cache_.flush(queue_->pool_);
        if (!background_) queue_->leave_foreground();
        queue_->release();
    }

    /// Builds the closure in a node and queues it.
    /// Errors: see PostStatus; what the closure's constructor throws leaves everything as it was.
    /// Cost: one compare-and-swap; no allocation after warm-up for closures of up to 48 bytes.
    template <class F>
    PostStatus post(F&& f);

    /// Ends the loop's current sleep, if it sleeps. True: woke it.
    bool poke() noexcept { return queue_ != nullptr && queue_->poke(); }

    /// True: doesn't keep the loop alive.
    void set_background(bool background) noexcept {
        if (background == background_) return;
        background_ = background;
        if (queue_ == nullptr) return;
        background ? queue_->leave_foreground() : queue_->enter_foreground();
    }
    bool background() const noexcept { return background_; }

private:
    PostQueue* queue_ = nullptr;
    TaskCache<M> cache_;
    bool background_ = false;
};

template <Memory M>
template <class F>
PostStatus PostQueue<M>::Producer::post(F&& f) {
    if (queue_ == nullptr) return PostStatus::loop_gone;
    TaskNode* node = cache_.take(queue_->pool_);
    if (node == nullptr) return PostStatus::no_memory;
    Unused unused{cache_, node};
    if (!node->template fill<M>(std::forward<F>(f))) return PostStatus::no_memory;
    unused.node = nullptr;
    // From here on this producer may be gone: the closure may own it.
    PostQueue* const queue = queue_;
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): until then it holds the queue
    if (queue->push(node)) return PostStatus::queued;
    queue->retain();
    node->discard();
    queue->pool_.push_node(node);
    queue->release();
    return PostStatus::loop_gone;
}

template <Memory M>
template <class F>
bool PostQueue<M>::post_shared(F&& f) {
    TaskNode* node = pool_.pop_node();
    if (node == nullptr) return false;
    struct GiveBack {
        TaskPool<M>& pool;
        TaskNode* node;
        ~GiveBack() {
            if (node != nullptr) pool.push_node(node);
        }
    } unused{pool_, node};
    if (!node->template fill<M>(std::forward<F>(f))) return false;
    if (!push(node)) {
        node->discard();
        return false;
    }
    unused.node = nullptr;
    return true;
}

template <Memory M>
template <class F>
bool PostQueue<M>::defer(F&& f) {
    if (closing_) return false;
    TaskNode* node = cache_.take(pool_);
    if (node == nullptr) return false;
    Unused unused{cache_, node};
    if (!node->template fill<M>(std::forward<F>(f))) return false;
    unused.node = nullptr;
    deferred_.append(node);
    return true;
}

// P1. release: the node's contents go to the consumer's exchange. The consumer reads the newest
// push, and every push continues the release sequence of the older ones, so all of them are
// visible.
template <Memory M>
bool PostQueue<M>::push(TaskNode* node) noexcept {
    uintptr_t head = head_.load(std::memory_order_relaxed);
    do {
        if (head == closed) return false;
        node->next = as_node(head);
    } while (!head_.compare_exchange_weak(head, reinterpret_cast<uintptr_t>(node),
                                          std::memory_order_release, std::memory_order_relaxed));
    if (head == asleep) finish_wake();
    return true;
}

// Q2. Always a write, even of the same value, so that S1 has something to synchronise with.
template <Memory M>
bool PostQueue<M>::poke() noexcept {
    uintptr_t head = head_.load(std::memory_order_relaxed);
    while (!head_.compare_exchange_weak(head, head == asleep ? empty : head,
                                        std::memory_order_release, std::memory_order_relaxed)) {
    }
    if (head != asleep) return false;
    finish_wake();
    return true;
}

// P2. release: close() must not go on before the call has returned.
template <Memory M>
void PostQueue<M>::finish_wake() noexcept {
    wake_(context_);
    wakes_finished_.fetch_add(1, std::memory_order_release);
}

template <Memory M>
bool PostQueue<M>::take() noexcept {
    batch_.append(deferred_);
    // The look ahead spares a quiet turn the exchange; what it misses, S1 finds.
    if (as_node(head_.load(std::memory_order_relaxed)) != nullptr) {
        append_posted(head_.exchange(empty, std::memory_order_acquire));
    }
    return !batch_.empty();
}

template <Memory M>
void PostQueue<M>::append_posted(uintptr_t head) noexcept {
    TaskNode* const newest = as_node(head);
    if (newest == nullptr) return;
    TaskNode* first = nullptr;
    for (TaskNode* node = newest; node != nullptr;) {
        TaskNode* older = std::exchange(node->next, first);
        first = std::exchange(node, older);
    }
    batch_.append(first, newest);
}

template <Memory M>
bool PostQueue<M>::run_one() {
    TaskNode* node = batch_.pop();
    if (node == nullptr) return false;
    struct Ran {
        TaskPool<M>& pool;
        TaskNode* node;
        ~Ran() { pool.give_back(node); }
    } const ran{pool_, node};
    node->run();
    return true;
}

template <Memory M>
inline bool PostQueue<M>::prepare_sleep(bool alone) noexcept {
    awake(alone);
    if (!batch_.empty() || !deferred_.empty()) return false;
    uintptr_t head = empty;
    if (alone) {
        if (head_.load(std::memory_order_relaxed) != empty) return false;
        head_.store(asleep, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        return sleeping_ = true;
    }
    // acquire: what was written before a poke() that came earlier is seen in S2.
    sleeping_ = head_.compare_exchange_strong(head, asleep, std::memory_order_acquire,
                                              std::memory_order_relaxed);
    return sleeping_;
}

template <Memory M>
inline void PostQueue<M>::awake(bool alone) noexcept {
    if (!sleeping_) return;
    sleeping_ = false;
    uintptr_t head = asleep;
    if (alone) {
        if (head_.load(std::memory_order_relaxed) == asleep) {
            head_.store(empty, std::memory_order_relaxed);
        }
        // No wake is under way, so all that were counted are those of the tags that were taken.
        std::atomic_signal_fence(std::memory_order_seq_cst);
        tags_taken_ = wakes_finished_.load(std::memory_order_relaxed);
        return;
    }
    // acquire: after a poke(), the loop sees at once what it was poked for.
    if (!head_.compare_exchange_strong(head, empty, std::memory_order_acquire,
                                       std::memory_order_acquire)) {
        ++tags_taken_;
    }
}

template <Memory M>
void PostQueue<M>::close() noexcept {
    awake();
    closing_ = true;
    append_posted(head_.exchange(closed, std::memory_order_acquire));
    // acquire: a wake that was counted has returned. The wait is as long as one call of wake.
    while (!abandoned_ && wakes_finished_.load(std::memory_order_acquire) != tags_taken_) {
        spin_pause();
    }
    batch_.append(deferred_);
    while (TaskNode* node = batch_.pop()) {
        node->discard();
        pool_.give_back(node);
    }
    cache_.flush(pool_);
    release();
}

}  // namespace detail

}  // namespace rondo::inline RONDO_ABI
