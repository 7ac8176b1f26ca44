// SPDX-License-Identifier: BSL-1.0
#pragma once
// What this operating system and this compiler have, as macros that are always 0 or 1. It is the
// only place that asks which system it is; everything else asks RONDO_HAS_*.
//
// Linux is verified. The BSDs, macOS and illumos are expected to work with PollPoller and
// SelectPoller, and are untested. Windows is out.

#if defined(__linux__)
#define RONDO_HAS_EPOLL 1
#define RONDO_HAS_EVENTFD 1
#define RONDO_HAS_PIDFD 1
#define RONDO_HAS_AFFINITY 1
#define RONDO_HAS_INHERITED_NO_DELAY 1  // TCP_NODELAY of the listening socket
#define RONDO_HAS_ABSTRACT_UNIX 1
#define RONDO_HAS_MMSG 1
#else
#define RONDO_HAS_EPOLL 0
#define RONDO_HAS_EVENTFD 0
#define RONDO_HAS_PIDFD 0
#define RONDO_HAS_AFFINITY 0
#define RONDO_HAS_INHERITED_NO_DELAY 0
#define RONDO_HAS_ABSTRACT_UNIX 0
#define RONDO_HAS_MMSG 0
#endif

#if defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
#define RONDO_HAS_ACCEPT4 1
#define RONDO_HAS_PIPE2 1
#define RONDO_HAS_PPOLL 1
#else
#define RONDO_HAS_ACCEPT4 0
#define RONDO_HAS_PIPE2 0
#define RONDO_HAS_PPOLL 0
#endif

// struct ip_mreqn, which names an interface by its index.
#if defined(__linux__) || defined(__FreeBSD__) || defined(__APPLE__)
#define RONDO_HAS_IP_MREQN 1
#else
#define RONDO_HAS_IP_MREQN 0
#endif

#if defined(__unix__) || defined(__APPLE__)
#define RONDO_HAS_POLL 1
#define RONDO_HAS_SELECT 1
#else
#define RONDO_HAS_POLL 0
#define RONDO_HAS_SELECT 0
#endif

// __libc_single_threaded of glibc 2.32.
#if defined(__linux__) && !defined(__ANDROID__) && __has_include(<sys/single_threaded.h>)
#define RONDO_HAS_SINGLE_THREADED 1
#else
#define RONDO_HAS_SINGLE_THREADED 0
#endif

#if defined(__cpp_exceptions)
#define RONDO_HAS_EXCEPTIONS 1
#else
#define RONDO_HAS_EXCEPTIONS 0
#endif

// A hint to the processor that a loop waits for another thread; nothing where there is none.
#if defined(__x86_64__) || defined(__i386__)
#define RONDO_SPIN_PAUSE() __builtin_ia32_pause()
#else
#define RONDO_SPIN_PAUSE() static_cast<void>(0)
#endif
