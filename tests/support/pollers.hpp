// SPDX-License-Identifier: BSL-1.0
#pragma once
// The pollers that this platform has, for cases that are templates over them.

#include <tuple>
#include <type_traits>
#include <utility>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/backend/poll_poller.hpp>
#include <rondo/backend/select_poller.hpp>

#include "manual_poller.hpp"

namespace rondo::test {

/// Those whose loop another thread may wake: a simulated world belongs to one.
using ThreadedPollers = std::tuple<
#if RONDO_HAS_EPOLL
    EpollPoller,
#endif
#if RONDO_HAS_POLL
    PollPoller,
#endif
#if RONDO_HAS_SELECT
    SelectPoller,
#endif
    ManualPoller>;

template <class List>
struct OnKernel;
template <class... P>
struct OnKernel<std::tuple<P...>> {
    using Pollers = decltype(std::tuple_cat(
        std::declval<std::conditional_t<P::traits.kernel, std::tuple<P>, std::tuple<>>>()...));
};
/// For what only a real descriptor does.
using KernelPollers = OnKernel<ThreadedPollers>::Pollers;

}  // namespace rondo::test
