// SPDX-License-Identifier: BSL-1.0
// Fd: one owner, one close.

#include <rondo/os/fd.hpp>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

#include "support/catch.hpp"

using rondo::Fd;

static_assert(!std::is_copy_constructible_v<Fd> && !std::is_copy_assignable_v<Fd>);
static_assert(sizeof(Fd) == sizeof(int));

namespace {

int fresh() {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

}  // namespace

TEST_CASE("an Fd closes its descriptor when it ends") {
    const int number = fresh();
    {
        const Fd fd(number);
        CHECK(fd);
        CHECK(fd.get() == number);
        CHECK(is_open(number));
    }
    CHECK_FALSE(is_open(number));
}

TEST_CASE("an Fd that owns nothing closes nothing") {
    errno = 0;
    {
        const Fd none;
        const Fd invalid(-1);
        CHECK_FALSE(none);
        CHECK_FALSE(invalid);
        CHECK(none.get() == -1);
    }
    CHECK(errno == 0);
}

TEST_CASE("moving an Fd moves the duty to close") {
    const int number = fresh();
    Fd second;
    {
        Fd first(number);
        second = std::move(first);
        CHECK_FALSE(first);
    }
    CHECK(is_open(number));
    {
        const Fd third(std::move(second));
        CHECK(third.get() == number);
        CHECK_FALSE(second);
    }
    CHECK_FALSE(is_open(number));
}

TEST_CASE("assigning to an Fd closes what it had") {
    const int old_number = fresh();
    const int new_number = fresh();
    Fd fd(old_number);
    fd = Fd(new_number);
    CHECK_FALSE(is_open(old_number));
    CHECK(is_open(new_number));
}

TEST_CASE("an Fd that is assigned to itself keeps its descriptor") {
    const int number = fresh();
    Fd fd(number);
    Fd& same = fd;
    fd = std::move(same);
    CHECK(fd.get() == number);
    CHECK(is_open(number));
}

TEST_CASE("release gives the descriptor away open") {
    const int number = fresh();
    {
        Fd fd(number);
        CHECK(fd.release() == number);
        CHECK_FALSE(fd);
    }
    CHECK(is_open(number));
    close(number);
}

TEST_CASE("reset closes now, and only once") {
    const int number = fresh();
    Fd fd(number);
    fd.reset();
    CHECK_FALSE(is_open(number));
    CHECK_FALSE(fd);

    const int same_number = fresh();  // the lowest free number: the one that was just closed
    REQUIRE(same_number == number);
    fd.reset();
    fd.reset(-1);
    CHECK(is_open(same_number));
    fd.reset(same_number);
    CHECK(fd.get() == same_number);
}

TEST_CASE("closing leaves errno alone") {
    const int number = fresh();
    close(number);
    errno = EADDRINUSE;
    Fd(number).reset();  // fails with EBADF inside
    CHECK(errno == EADDRINUSE);
}
