// SPDX-License-Identifier: BSL-1.0
// The one object that holds Catch and main. Every test program links it, so Catch is compiled once
// per build and a changed test costs only itself.
//
// For ctest an exit code of 4 is a skipped case. Catch exits with the number of failures, which may
// be 4 too, and before 3.3 it knows nothing of skipping. So main asks a listener what has happened.

#if __has_include(<catch2/catch_session.hpp>)

#include <catch2/catch_session.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>

using ListenerBase = Catch::EventListenerBase;

#else

#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

using ListenerBase = Catch::TestEventListenerBase;

#endif

#include "catch.hpp"

namespace {

bool anything_failed = false;
bool all_skipped = false;

class Outcome : public ListenerBase {
public:
    using ListenerBase::ListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo& info) override {
        ListenerBase::testCaseStarting(info);
        skips_before_ = rondo_test::skips;
    }

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        ListenerBase::testCaseEnded(stats);
        cases_skipped_ += rondo_test::skips != skips_before_ ? 1u : 0u;
    }

    void testRunEnded(const Catch::TestRunStats& stats) override {
        ListenerBase::testRunEnded(stats);
        const Catch::Counts& cases = stats.totals.testCases;
        anything_failed = cases.failed + cases.failedButOk != 0;
        all_skipped = cases_skipped_ != 0 && cases_skipped_ == cases.total();
    }

private:
    int skips_before_ = 0;
    std::size_t cases_skipped_ = 0;
};

CATCH_REGISTER_LISTENER(Outcome)

}  // namespace

int main(int argc, char** argv) {
    constexpr int failed = 1;
    constexpr int skipped = 4;
    const int code = Catch::Session().run(argc, argv);
    if (anything_failed) return code == skipped ? failed : code;
    return code == 0 && all_skipped ? skipped : code;
}
