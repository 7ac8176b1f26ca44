// SPDX-License-Identifier: BSL-1.0
#pragma once
// The plain values that socket calls take and return, shared by every model of SocketApi: the
// kernel's and the simulated ones.

#include <stddef.h>
#include <stdint.h>

#include <rondo/core/endpoint.hpp>
#include <rondo/core/time.hpp>

namespace rondo::inline RONDO_ABI {

/// How a socket carries bytes.
enum class SocketKind : uint8_t { stream, datagram };

/// The directions to close.
enum class Shutdown : uint8_t { read, write, both };

/// Two descriptors that belong together: the ends of a pair, or of a pipe (read, then write).
struct FdPair {
    int first = -1;
    int second = -1;
};

/// An accepted connection. The caller owns `fd`.
struct Accepted {
    int fd = -1;
    Endpoint peer;
};

/// A datagram's length and sender. `truncated` tells that the buffer was too small.
struct Datagram {
    size_t bytes = 0;
    bool truncated = false;
    Endpoint peer;
};

/// One datagram of a batch to send. Without an address it goes to the peer that the socket is
/// connected to.
struct OutDatagram {
    const void* data = nullptr;
    size_t size = 0;
    const Endpoint* to = nullptr;
};

/// Bytes to send; several go into one writev.
struct ConstBuffer {
    const void* data = nullptr;
    size_t size = 0;
};

/// TCP keep-alive: first probe after `idle`, then every `interval`; `count` lost ones end the
/// connection.
struct KeepAlive {
    Duration idle = Duration::seconds(300);
    Duration interval = Duration::seconds(100);
    int count = 3;
};

/// How to listen.
struct ListenOptions {
    int backlog = 511;        ///< connections that wait to be accepted; the kernel may clip it
    bool reuse_port = false;  ///< several sockets share the port, the kernel spreads connections
    bool dual_stack = false;  ///< an IPv6 wildcard also takes IPv4
    bool no_delay = false;    ///< TCP_NODELAY, which Linux hands on to accepted connections
    uint32_t unix_mode = 0;   ///< permissions of a Unix socket's file; 0 leaves the umask's
};

/// How to connect.
struct ConnectOptions {
    const Endpoint* source = nullptr;  ///< bind to this address first
    bool best_effort_source = false;   ///< if it can't be bound, connect without it
};

}  // namespace rondo::inline RONDO_ABI
