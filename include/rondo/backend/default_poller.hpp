// SPDX-License-Identifier: BSL-1.0
#pragma once
// DefaultPoller: the best poller that this platform has. A program that doesn't care which one it
// runs on includes this header and writes EventLoop<DefaultPoller>.
//
// It is an alias, decided when the program is compiled; it refuses to choose at run time.

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/backend/poll_poller.hpp>
#include <rondo/config/platform.hpp>

namespace rondo::inline RONDO_ABI {

#if RONDO_HAS_EPOLL
using DefaultPoller = EpollPoller;
#elif RONDO_HAS_POLL
using DefaultPoller = PollPoller;
#else
#error "rondo has no poller for this platform: write one, see <rondo/backend/poller.hpp>"
#endif

}  // namespace rondo::inline RONDO_ABI
