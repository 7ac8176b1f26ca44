// SPDX-License-Identifier: BSL-1.0
// The executor of these cases runs a job, and hands its result over, when the case says so.
#include <rondo/net/resolver.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

class ManualExecutor {
public:
    template <class F, class D>
    WorkId submit(F&& job, D&& done) {
        if (refusing) return {};
        struct Parts {
            std::decay_t<F> job;
            std::decay_t<D> done;
            Outcome<std::invoke_result_t<std::decay_t<F>&>> outcome;
        };
        auto parts =
            std::make_shared<Parts>(Parts{static_cast<F&&>(job), static_cast<D&&>(done), {}});
        entries_.push_back({{{++last_, 1}},
                            [parts] { parts->outcome.run(parts->job); },
                            [parts] { parts->done(std::move(parts->outcome)); }});
        return entries_.back().id;
    }
    bool cancel(WorkId id) {
        return std::erase_if(entries_, [&](const Entry& entry) {
                   return entry.id == id && !entry.started;
               }) != 0;
    }
    /// Runs every job, without telling.
    void run() {
        for (Entry& entry : entries_) {
            if (!std::exchange(entry.started, true)) entry.run();
        }
    }
    /// Runs every job and tells.
    void finish() {
        run();
        for (Entry& entry : std::exchange(entries_, {})) entry.tell();
    }
    size_t size() const { return entries_.size(); }

    bool refusing = false;

private:
    struct Entry {
        WorkId id;
        std::function<void()> run;
        std::function<void()> tell;
        bool started = false;
    };
    std::vector<Entry> entries_;
    uint32_t last_ = 0;
};

using Memories = CountingMemory<4712>;

const Endpoint first = Endpoint::ipv6_loopback(0);
const Endpoint second = Endpoint::ipv4(192, 0, 2, 7, 0);

template <class M = Malloc>
struct Names {
    using Loop = EventLoop<ManualPoller, NoObserver, M>;

    Names() { rig.world().hosts["example.org"] = {first, second}; }

    Result<ResolveId> ask(std::string_view name, const ResolveOptions& options = {}) {
        return resolver->resolve(name, 80, options, [this](ResolveResult result) {
            ++answers;
            error = result.error();
            got.clear();
            if (result) got.assign(result->begin(), result->end());
        });
    }
    void turns() {
        for (int i = 0; i < 3; ++i) rig.loop.poll();
    }

    Rig<ManualPoller, M> rig;
    ManualExecutor executor;
    std::optional<Resolver<Loop, ManualExecutor>> resolver{std::in_place, rig.loop, executor};
    int answers = 0;
    Error error;
    std::vector<Endpoint> got;
};

}  // namespace

static_assert(WorkExecutor<ManualExecutor>);

TEST_CASE("a name is answered with its addresses, in their order, with the port", "[resolver]") {
    Names names;
    REQUIRE(names.ask("example.org"));
    names.turns();
    CHECK(names.answers == 0);
    names.executor.finish();
    CHECK(names.answers == 1);
    CHECK(names.got == std::vector{first.with_port(80), second.with_port(80)});
    CHECK(names.resolver->pending() == 0);
}

TEST_CASE("a family alone is answered with its addresses, or with an error", "[resolver]") {
    Names names;
    names.rig.world().hosts["six.example.org"] = {first};
    REQUIRE(names.ask("example.org", {.family = Family::ipv4}));
    names.executor.finish();
    CHECK(names.got == std::vector{second.with_port(80)});
    REQUIRE(names.ask("six.example.org", {.family = Family::ipv4}));
    names.executor.finish();
    CHECK(names.error == no_such_address);
    CHECK(names.error.message() == "resolve six.example.org: the name has no such address");
}

TEST_CASE("an unknown name is told as such", "[resolver]") {
    Names names;
    REQUIRE(names.ask("nobody.example.org"));
    names.executor.finish();
    CHECK(names.error == no_such_name);
    CHECK(names.error.message() == "resolve nobody.example.org: no such name");
}

TEST_CASE("a numeric address is answered in a later turn, without the executor", "[resolver]") {
    Names names;
    names.executor.refusing = true;
    for (const char* const text : {"192.0.2.7", "::1", "fe80::1%2"}) {
        names.answers = 0;
        REQUIRE(names.ask(text));
        CHECK(names.answers == 0);
        names.rig.loop.run();
        CHECK(names.answers == 1);
        REQUIRE(names.got.size() == 1);
        CHECK(names.got[0].port() == 80);
    }
    CHECK(names.got[0].scope() == 2);
    REQUIRE(names.ask("::1", {.family = Family::ipv4}));
    names.rig.loop.run();
    CHECK(names.error == no_such_address);
}

TEST_CASE("what can't be a name is refused at the call", "[resolver]") {
    Names names;
    CHECK(names.ask("").error() == EINVAL);
    CHECK(names.ask(std::string_view("a\0b", 3)).error() == EINVAL);
    CHECK(names.ask(std::string(254, 'a')).error() == ENAMETOOLONG);
    CHECK(names.ask(std::string(253, 'a')));
    names.executor.refusing = true;
    const auto busy = names.ask("example.org");
    CHECK(busy.error() == EAGAIN);
    auto request = std::make_unique<std::string>("a name that its handler owns, on the heap");
    const std::string_view name = *request;
    const auto owned = names.resolver->resolve(name, 80, [request = std::move(request)](auto) {});
    CHECK(owned.error().object() == "a name that its handler owns, on the heap");
    CHECK(busy.error().object() == "example.org");
    names.executor.finish();
    names.turns();
    CHECK(names.answers == 1);
    CHECK(names.resolver->pending() == 0);
}

TEST_CASE("at its deadline a lookup answers ETIMEDOUT, and the late answer is dropped",
          "[resolver]") {
    Names names;
    REQUIRE(names.ask("example.org", {.timeout = Duration::seconds(2)}));
    names.executor.run();
    names.rig.world().advance(Duration::seconds(1));
    names.turns();
    CHECK(names.answers == 0);
    names.rig.world().advance(Duration::seconds(1));
    names.turns();
    CHECK(names.answers == 1);
    CHECK(names.error == ETIMEDOUT);
    CHECK(names.error.object() == "example.org");
    names.executor.finish();
    CHECK(names.answers == 1);
}

TEST_CASE("a lookup that hasn't begun at its deadline never begins", "[resolver]") {
    Names names;
    REQUIRE(names.ask("example.org", {.timeout = Duration::seconds(2)}));
    names.rig.world().advance(Duration::seconds(2));
    names.turns();
    CHECK(names.answers == 1);
    CHECK(names.executor.size() == 0);
}

TEST_CASE("a lookup that was answered in time has no deadline left", "[resolver]") {
    Names names;
    REQUIRE(names.ask("example.org"));
    names.executor.finish();
    const Instant before = names.rig.world().time();
    names.rig.loop.run();
    CHECK(names.rig.world().time() == before);
}

TEST_CASE("a cancelled lookup is never answered", "[resolver]") {
    Names names;
    const auto waiting = names.ask("example.org");
    CHECK(names.resolver->cancel(*waiting));
    CHECK(names.executor.size() == 0);
    CHECK_FALSE(names.resolver->cancel(*waiting));
    const auto running = names.ask("example.org");
    names.executor.run();
    CHECK(names.resolver->cancel(*running));
    names.executor.finish();
    const auto numeric = names.ask("::1");
    CHECK(names.resolver->cancel(*numeric));
    names.rig.loop.run();
    CHECK(names.answers == 0);
    CHECK_FALSE(names.resolver->cancel({}));
}

TEST_CASE("the end of a resolver cancels its lookups, also those under way", "[resolver]") {
    Names names;
    REQUIRE(names.ask("example.org"));
    names.executor.run();
    REQUIRE(names.ask("example.org"));
    REQUIRE(names.ask("::1"));
    names.resolver.reset();
    CHECK(names.executor.size() == 1);
    names.executor.finish();
    names.rig.loop.run();
    CHECK(names.answers == 0);
}

TEST_CASE("an answer may destroy the resolver, ask again and throw", "[resolver]") {
    Names names;
    REQUIRE(names.resolver->resolve("example.org", 80, [&](ResolveResult) {
        REQUIRE(names.ask("192.0.2.7"));
        throw Thrown();
    }));
    CHECK_THROWS_AS(names.executor.finish(), Thrown);
    names.rig.loop.run();
    CHECK(names.answers == 1);
    bool gone = false;
    REQUIRE(names.resolver->resolve("::1", 80, [&] {
        names.resolver.reset();
        gone = true;
    }));
    names.rig.loop.run();
    CHECK(gone);
}

TEST_CASE("a name has many addresses, and 32 are told", "[resolver]") {
    Names names;
    names.rig.world().hosts["many.example.org"] = std::vector(100, second);
    REQUIRE(names.ask("many.example.org"));
    names.executor.finish();
    CHECK(names.got.size() == 32);
}

TEST_CASE("a lookup that memory is out for answers ENOMEM and leaves nothing", "[resolver]") {
    const std::string large(100, 'x');  // makes an answer that doesn't fit in place
    std::optional<Names<Memories>> names;
    const int failures = with_each_allocation_failing<Memories>([&](int k) {
        Memories::never_fail();
        names.emplace();
        int answers = 0;
        const auto f = [&answers, large](ResolveResult) { answers += large.size() == 100; };
        struct Ballast {
            decltype(f) answer;
            char bytes[64];
            void operator()(ResolveResult result) { answer(std::move(result)); }
        };
        Memories::fail_after(k);
        const auto asked = names->resolver->resolve("example.org", 80, Ballast{f, {}});
        if (!asked) CHECK(asked.error() == ENOMEM);
        CHECK(names->resolver->pending() == (asked ? 1 : 0));
        names->executor.finish();
        CHECK(answers == (asked ? 1 : 0));
        CHECK(names->resolver->pending() == 0);
    });
    CHECK(failures >= 3);
    names.reset();
    CHECK(Memories::held() == 0);
    CHECK(Memories::mismatched() == 0);
}
