// SPDX-License-Identifier: BSL-1.0
#pragma once
// RULE("P4 level: ...", needs) { body using P } makes one conformance case for every poller of
// AllPollers, and one row of the table that ARCHITECTURE.md shows. A poller is left out only by its
// traits, and then the body isn't even compiled for it.
//
// A new backend joins by being added to pollers.hpp; nothing else changes. The table has a column
// for each poller that is there.

#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <tuple>
#include <vector>

#include <rondo/backend/poller.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "catch.hpp"
#include "pollers.hpp"

namespace rondo::test {

using AllPollers = decltype(std::tuple_cat(std::declval<ThreadedPollers>(),
                                           std::declval<std::tuple<SimPoller>>()));

/// What a rule is about, as far as not every poller has it.
enum class Needs {
    nothing,
    edge,
    no_edge,
    no_priority,
    read_closed,
    native_handle,
    closing_removes,
    fd_limit,
    files,
    no_files,
    kernel
};

/// Why a rule doesn't apply to a poller; empty if it does.
constexpr const char* left_out(Needs needs, const PollerTraits& traits) {
    switch (needs) {
        case Needs::nothing:
            return "";
        case Needs::edge:
            return traits.edge ? "" : "no edge";
        case Needs::no_edge:
            return traits.edge ? "has edge" : "";
        case Needs::no_priority:
            return traits.priority ? "has priority" : "";
        case Needs::read_closed:
            return traits.read_closed ? "" : "no read_closed";
        case Needs::native_handle:
            return traits.native_handle ? "" : "no native handle";
        case Needs::closing_removes:
            return traits.closing_removes ? "" : "no closing_removes";
        case Needs::fd_limit:
            return traits.fd_limit != 0 ? "" : "no fd limit";
        case Needs::files:
            if (!traits.kernel) return "no kernel";
            return traits.files_always_ready ? "" : "no files_always_ready";
        case Needs::no_files:
            if (!traits.kernel) return "no kernel";
            return traits.files_always_ready ? "has files_always_ready" : "";
        case Needs::kernel:
            return traits.kernel ? "" : "no kernel";
    }
    return "unknown";
}

struct Rule {
    const char* title;
    Needs needs;
};

inline std::vector<Rule>& rules() {
    static std::vector<Rule> all;
    return all;
}

struct RuleEntry {
    RuleEntry(const char* title, Needs needs) { rules().push_back({title, needs}); }
};

template <class... Ps>
std::string table_row(const Rule& rule, std::tuple<Ps...>*) {
    std::string row = std::string("| ") + rule.title + " |";
    const auto cell = [&](const char* reason) {
        row += *reason == '\0' ? std::string(" pass |") : std::string(" n.a. (") + reason + ") |";
    };
    (cell(left_out(rule.needs, Ps::traits)), ...);
    return row;
}

template <class... Ps>
std::string table_head(std::tuple<Ps...>*) {
    std::string names = "| rule |";
    std::string line = "|---|";
    ((names += std::string(" ") + Ps::name() + " |", line += "---|"), ...);
    return names + "\n" + line;
}

/// A poller under test and the descriptors of one case, which are closed at its end.
template <class P>
class Bench {
public:
    using Event = typename P::Event;
    struct Seen {
        Token token;
        Readiness readiness;
    };

    Bench() : poller(P::open().value()) {}
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;
    ~Bench() {
        for (const int fd : owned_) poller.sockets().close(fd);
    }

    int own(int fd) {
        owned_.push_back(fd);
        return fd;
    }
    FdPair pair() { return own(poller.sockets().pair(SocketKind::stream).value()); }
    FdPair pipe() { return own(poller.sockets().pipe().value()); }
    /// A regular file of the kernel, empty and without a name.
    int file() {
        char path[] = "/tmp/rondo_conformance.XXXXXX";
        const int fd = own(mkstemp(path));
        REQUIRE(fd >= 0);
        REQUIRE(unlink(path) == 0);
        return fd;
    }
    void close(int fd) {
        std::erase(owned_, fd);
        poller.sockets().close(fd);
    }

    void send(int fd) {
        const std::byte byte{42};
        REQUIRE(poller.sockets().write(fd, {&byte, 1}));
    }
    size_t drain(int fd) {
        std::byte bytes[4096];
        size_t total = 0;
        while (true) {
            const IoResult got = poller.sockets().read(fd, bytes);
            if (!got || got.bytes == 0) return total;
            total += got.bytes;
        }
    }
    /// Writes until there is no more room.
    void fill(int fd) {
        const std::byte bytes[4096]{};
        while (poller.sockets().write(fd, bytes)) {
        }
    }

    /// What one wait returns, the poller's own events included.
    size_t raw_wait(Instant deadline = Instant::min(), size_t most = 64) {
        events_.assign(most, Event());
        return poller.wait(events_, deadline).value();
    }
    /// What one wait reports of registrations.
    std::vector<Seen> wait(Instant deadline = Instant::min(), size_t most = 64) {
        const size_t count = raw_wait(deadline, most);
        REQUIRE(count <= most);
        std::vector<Seen> seen;
        for (size_t i = 0; i < count; ++i) {
            const Token token = events_[i].token();
            if (token != Token::wake_up()) seen.push_back({token, events_[i].readiness()});
        }
        return seen;
    }
    /// What a wait that doesn't block reports of one descriptor; none: it is silent.
    Readiness state(int fd) {
        Readiness found = Readiness::none;
        for (const Seen& one : wait()) {
            if (one.token.fd() == fd) found |= one.readiness;
        }
        return found;
    }
    bool silent() { return wait().empty(); }

    P poller;

private:
    FdPair own(FdPair both) {
        own(both.first);
        own(both.second);
        return both;
    }

    std::vector<int> owned_;
    std::vector<Event> events_;
};

}  // namespace rondo::test

#define RONDO_RULE_JOIN2(a, b) a##b
#define RONDO_RULE_JOIN(a, b) RONDO_RULE_JOIN2(a, b)
#define RONDO_RULE(title, needs, Name)                                                 \
    template <class P>                                                                 \
    struct Name {                                                                      \
        static void run();                                                             \
    };                                                                                 \
    static const ::rondo::test::RuleEntry RONDO_RULE_JOIN(Name, _entry){title, needs}; \
    TEMPLATE_LIST_TEST_CASE(title, "[conformance]", ::rondo::test::AllPollers) {       \
        INFO("poller: " << TestType::name());                                          \
        if constexpr (*::rondo::test::left_out(needs, TestType::traits) == '\0') {     \
            Name<TestType>::run();                                                     \
        } else {                                                                       \
            SUCCEED("n.a.");                                                           \
        }                                                                              \
    }                                                                                  \
    template <class P>                                                                 \
    void Name<P>::run()
#define RULE(title, needs) \
    RONDO_RULE(title, ::rondo::test::Needs::needs, RONDO_RULE_JOIN(rule_at_line_, __LINE__))
