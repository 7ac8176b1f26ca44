// SPDX-License-Identifier: BSL-1.0
// A plug-in that uses rondo privately; plugins.cpp loads two that were built with two versions of
// it.

#include <stdio.h>

#include <rondo/backend/default_poller.hpp>
#include <rondo/loop/event_loop.hpp>

/// Runs a loop, then writes the version and what this version says about success.
extern "C" [[gnu::visibility("default")]] void rondo_plugin(char* text, size_t size) {
    rondo::EventLoop<rondo::DefaultPoller> loop;
    int fired = 0;
    loop.after(rondo::Duration::milliseconds(1), [&fired] { ++fired; });
    loop.run();
    snprintf(text, size, "%s: %s, %d timer", RONDO_VERSION, rondo::Error().message().c_str(),
             fired);
}
