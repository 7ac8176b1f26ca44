// SPDX-License-Identifier: BSL-1.0
#pragma once
// The only way in for <ev.h>. libevent's headers define EV_READ and EV_WRITE as macros of other
// values, so libev's are given names of their own, and this header comes before libevent's.

#define EV_COMPAT3 0  // no names of the old interface, which are libevent's too
#include <ev.h>

namespace bench {

inline constexpr int libev_read = EV_READ;
inline constexpr int libev_write = EV_WRITE;

}  // namespace bench
