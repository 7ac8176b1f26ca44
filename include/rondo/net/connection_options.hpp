// SPDX-License-Identifier: BSL-1.0
#pragma once
// How connections behave, and what they count.

#include <stddef.h>
#include <stdint.h>

#include <rondo/core/slab.hpp>
#include <rondo/core/time.hpp>

namespace rondo::inline RONDO_ABI {

/// The same for all connections of a group.
struct ConnectionOptions {
    /// Above this many unsent bytes a connection is full, until they have fallen to the low-water
    /// mark.
    size_t high_water = 1024 * 1024;
    size_t low_water = a_quarter;
    /// A connection with more unsent bytes is ended with ENOBUFS: others may send to it what it
    /// never reads. 0: no limit. It lowers a high-water mark that is above it. Whatever ends a
    /// connection with unsent bytes resets it.
    size_t unsent_max = 0;
    /// A connection whose handler leaves more bytes than this unconsumed is ended with EMSGSIZE.
    /// That counts what it leaves because it paused: at least the longest message and one read of
    /// the loop's buffer, 256 KiB.
    size_t unconsumed_max = 1024 * 1024;

    Duration idle_timeout = never;                  ///< nothing moved in either direction
    Duration read_timeout = never;                  ///< nothing came, although it was reading
    Duration write_timeout = never;                 ///< bytes wait, and none could be sent
    Duration close_timeout = Duration::seconds(5);  ///< close() to the end; then it is aborted

    /// TCP_NODELAY: set to this, on or off, on every TCP socket that is adopted, and on those that
    /// a Server listens on.
    bool no_delay = true;
    bool pause_if_full = true;  ///< read no more while full of what on_data has sent

    static constexpr size_t a_quarter = SIZE_MAX;  ///< as low_water: of the high-water mark
};

/// What a connection has done so far.
struct ConnectionCounters {
    uint64_t received = 0;  ///< bytes
    uint64_t sent = 0;      ///< bytes
    Instant last_received;  ///< on the clock of EventLoop::now()
    Instant last_sent;
};

/// Names a connection, and is harmless when it is gone. The default names none.
struct ConnectionHandle {
    SlabKey key;

    explicit operator bool() const noexcept { return static_cast<bool>(key); }
    friend bool operator==(ConnectionHandle, ConnectionHandle) noexcept = default;
};

/// The state of connections that have none of their own.
struct NoState {};

}  // namespace rondo::inline RONDO_ABI
