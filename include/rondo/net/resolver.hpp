// SPDX-License-Identifier: BSL-1.0
#pragma once
// Resolver: the addresses of names, without blocking the loop. The system's own lookup blocks, so
// it runs on an executor that the user gives, usually a WorkerPool; the answer never comes from
// within the call. A numeric address is answered without the executor.
//
// It refuses to cache, to merge lookups of one name, and to sort: the system does that, and its
// configuration is the user's. A lookup that has begun can't be interrupted: after a cancel or at
// its timeout its answer is dropped, and its worker is busy until the system gives up: with a
// single worker the other lookups wait behind it, and so do run() and the end of the pool.

#include <errno.h>
#include <stdint.h>

#include <span>
#include <string_view>
#include <utility>

#include <rondo/core/work_executor.hpp>
#include <rondo/loop/event_loop.hpp>

namespace rondo::inline RONDO_ABI {

struct ResolveOptions {
    Family family = Family::none;              ///< ipv4 or ipv6 alone; none: both
    Duration timeout = Duration::seconds(30);  ///< then the answer is ETIMEDOUT
};

/// Names one lookup. Harmless once it has been answered.
struct ResolveId {
    SlabKey key;

    explicit operator bool() const noexcept { return static_cast<bool>(key); }
    friend bool operator==(const ResolveId&, const ResolveId&) = default;
};

/// What a lookup answers: addresses with the port that was given, the best one first, at least one.
using ResolveResult = Result<std::span<const Endpoint>>;

namespace detail {

struct ResolveRule {
    template <class F>
    static constexpr bool check() {
        constexpr bool fits = CallableWithTail<F, ResolveResult>;
        static_assert(fits, "an answer is called as f(rondo::ResolveResult)");
        return fits;
    }
};

/// What a lookup brings back from the other thread.
struct Resolved {
    static constexpr size_t most = 32;
    Error error;
    size_t count = 0;
    Endpoint endpoints[most];
};

/// The endpoint of a numeric address; "none" if it isn't one.
inline Endpoint numeric_endpoint(std::string_view name, uint16_t port) noexcept {
    if (name == "*") return {};
    const bool v6 = name.find(':') != name.npos;
    Text<280> text;
    text.append(v6 ? "[" : "").append(name).append(v6 ? "]:" : ":").append_unsigned(port);
    const auto at = Endpoint::parse(text);
    return at ? *at : Endpoint();
}

}  // namespace detail

/// Neither copied nor moved: its lookups point at it.
/// Lifetime: must not outlive the loop, nor the executor. Its end cancels all lookups. An answer
/// may destroy it.
/// Threads: loop thread.
template <class Loop, WorkExecutor Executor>
class Resolver {
public:
    using M = typename Loop::MemoryPolicy;
    using Handler = CheckedHandler<void(ResolveResult), detail::ResolveRule, M>;

    Resolver(Loop& loop, Executor& executor) noexcept : loop_(loop), executor_(executor) {}
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    ~Resolver();

    /// Looks `name` up and calls `f(ResolveResult)` once, never from within this call: with at most
    /// 32 addresses, or with what the system says (see NameError), or ETIMEDOUT.
    /// Lifetime: the addresses live until f returns.
    /// Errors: EINVAL for a name that is empty or holds a NUL, ENAMETOOLONG above 253 bytes, EAGAIN
    /// if the executor refuses, ENOMEM; f is not called then.
    Result<ResolveId> resolve(std::string_view name, uint16_t port, const ResolveOptions& options,
                              Handler f);
    Result<ResolveId> resolve(std::string_view name, uint16_t port, Handler f) {
        return resolve(name, port, ResolveOptions(), std::move(f));
    }

    /// True if it hadn't been answered; f isn't called any more.
    bool cancel(ResolveId id) noexcept;

    /// Lookups that haven't been answered.
    size_t pending() const noexcept { return lookups_.size(); }

private:
    static constexpr size_t name_max = 253;

    struct Lookup {
        Handler f;
        Error timed_out;   // tells the name
        Endpoint numeric;  // what it was asked for, if that is an address
        TimerId timer;     // its deadline; of a numeric one, its turn
        WorkId work;
    };
    // What a late answer finds when the resolver has gone. Answers live on the loop's thread.
    struct Anchor {
        Resolver* resolver;
        size_t answers = 1;
    };
    struct Job {
        typename Loop::Poller::System* system;
        Text<name_max + 1> name;
        uint16_t port;
        Family family;

        detail::Resolved operator()() const noexcept {
            detail::Resolved found;
            const auto count = system->resolve(name.c_str(), port, family, found.endpoints);
            found.error = count.error();
            if (count) found.count = *count;
            return found;
        }
    };
    struct Answer {
        Anchor* anchor;
        SlabKey key;

        Answer(Anchor& at, SlabKey of) noexcept : anchor(&at), key(of) { ++at.answers; }
        Answer(Answer&& other) noexcept
            : anchor(std::exchange(other.anchor, nullptr)), key(other.key) {}
        Answer& operator=(Answer&&) = delete;
        ~Answer() { leave(anchor); }
        void operator()(Outcome<detail::Resolved> outcome) const {
            Resolver* const resolver = anchor->resolver;
            if (resolver == nullptr) return;
            const std::span<const Endpoint> found(outcome->endpoints, outcome->count);
            if (outcome->error) return resolver->answer(key, outcome->error);
            resolver->answer(key, found);
        }
    };

    static void leave(Anchor* anchor) noexcept {
        if (anchor != nullptr && --anchor->answers == 0) {
            M::release(anchor, sizeof(Anchor), alignof(Anchor));
        }
    }
    bool ready() noexcept {
        if (anchor_ != nullptr) return true;
        void* const memory = M::allocate(sizeof(Anchor), alignof(Anchor));
        if (memory != nullptr) anchor_ = ::new (memory) Anchor{this};
        return anchor_ != nullptr;
    }

    int begin(SlabKey key, std::string_view name, uint16_t port, const ResolveOptions& options);
    void answer(SlabKey key, ResolveResult result);
    void expired(SlabKey key);

    Loop& loop_;
    Executor& executor_;
    Slab<Lookup, M> lookups_;
    Anchor* anchor_ = nullptr;
};

template <class Loop, WorkExecutor Executor>
Resolver<Loop, Executor>::~Resolver() {
    if (anchor_ != nullptr) anchor_->resolver = nullptr;
    lookups_.for_each([this](SlabKey key, Lookup&) { cancel({key}); });
    leave(anchor_);
}

template <class Loop, WorkExecutor Executor>
Result<ResolveId> Resolver<Loop, Executor>::resolve(std::string_view name, uint16_t port,
                                                    const ResolveOptions& options, Handler f) {
    RONDO_ASSERT(options.family != Family::unix_path, "names have IPv4 and IPv6 addresses only");
    if (name.empty() || name.find('\0') != name.npos) return Error(EINVAL, "resolve", name);
    if (name.size() > name_max) return Error(ENAMETOOLONG, "resolve", name);
    if (!f || !ready()) return Error(ENOMEM, "resolve", name);
    const SlabKey key = lookups_.insert();
    if (!key) return Error(ENOMEM, "resolve", name);
    Lookup& lookup = *lookups_.find(key);
    lookup.f = std::move(f);
    lookup.timed_out = Error(ETIMEDOUT, "resolve", name);
    lookup.numeric = detail::numeric_endpoint(name, port);
    if (const int code = begin(key, name, port, options); code != 0) {
        const Error refused(code, "resolve", name);
        cancel({key});  // the handler may own the name
        return refused;
    }
    return ResolveId{key};
}

// 0, or why it can't.
template <class Loop, WorkExecutor Executor>
int Resolver<Loop, Executor>::begin(SlabKey key, std::string_view name, uint16_t port,
                                    const ResolveOptions& options) {
    Lookup& lookup = *lookups_.find(key);
    if (lookup.numeric) {
        const Family family = lookup.numeric.family();
        const bool wanted = options.family == Family::none || options.family == family;
        lookup.timer = loop_.at(Instant(), [this, key, wanted] {
            const Endpoint at = lookups_.find(key)->numeric;
            if (wanted) return answer(key, std::span(&at, 1));
            const Text<120> text = at.text();
            answer(key, Error(no_such_address, "resolve", text));
        });
        return lookup.timer ? 0 : ENOMEM;
    }
    if (options.timeout != never) {
        lookup.timer = loop_.after(options.timeout, [this, key] { expired(key); });
        if (!lookup.timer) return ENOMEM;
    }
    Job job{&loop_.poller().system(), Text<name_max + 1>(name), port, options.family};
    lookup.work = executor_.submit(std::move(job), Answer(*anchor_, key));
    return lookup.work ? 0 : EAGAIN;
}

template <class Loop, WorkExecutor Executor>
bool Resolver<Loop, Executor>::cancel(ResolveId id) noexcept {
    Lookup* const lookup = lookups_.find(id.key);
    if (lookup == nullptr) return false;
    if (lookup->timer) loop_.cancel(lookup->timer);
    const WorkId work = lookup->work;
    const Handler f = std::move(lookup->f);  // destroyed last: what it captures may own this
    lookups_.erase(id.key);
    if (work) executor_.cancel(work);
    return true;
}

// The last that is done with the resolver: f may destroy it.
template <class Loop, WorkExecutor Executor>
void Resolver<Loop, Executor>::answer(SlabKey key, ResolveResult result) {
    Lookup* const lookup = lookups_.find(key);
    if (lookup == nullptr) return;
    if (lookup->timer) loop_.cancel(lookup->timer);
    Handler f = std::move(lookup->f);
    lookups_.erase(key);
    f(std::move(result));
}

template <class Loop, WorkExecutor Executor>
void Resolver<Loop, Executor>::expired(SlabKey key) {
    const Lookup& lookup = *lookups_.find(key);
    const Error late = lookup.timed_out;
    executor_.cancel(lookup.work);
    answer(key, late);
}

}  // namespace rondo::inline RONDO_ABI
