// SPDX-License-Identifier: BSL-1.0
// Another build of the library in the same program, in an inline namespace of its own: one half of
// the test in two_versions.cpp.

#ifdef RONDO_TRACE_LOCATIONS
#undef RONDO_TRACE_LOCATIONS
#else
#define RONDO_TRACE_LOCATIONS
#endif

#include "other_version.hpp"

#include <rondo/os/posix_system.hpp>

struct OtherVersion::System : rondo::PosixSystem {};

OtherVersion::OtherVersion() : system_(new System) {}
OtherVersion::~OtherVersion() { delete system_; }
bool OtherVersion::add_signal(int number) { return static_cast<bool>(system_->add_signal(number)); }
void OtherVersion::remove_signal(int number) { system_->remove_signal(number); }
uint64_t OtherVersion::take_signals() { return system_->take_signals(); }
const char* OtherVersion::name() { return RONDO_DETAIL_STR(RONDO_ABI); }
