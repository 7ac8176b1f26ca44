// SPDX-License-Identifier: BSL-1.0
#include <rondo/core/datagram_queue.hpp>

#include <deque>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

using Counting = CountingMemory<73>;
using Queue = DatagramQueue<Counting>;

int push(Queue& queue, std::string_view text, uint16_t port = 1) {
    return queue.push(std::as_bytes(std::span(text)), Endpoint::ipv4_loopback(port));
}

// All that is queued, as "port:text".
std::vector<std::string> all(const Queue& queue) {
    OutDatagram out[64];
    std::vector<std::string> texts;
    const size_t count = queue.gather(out);
    for (size_t i = 0; i < count; ++i) {
        const std::string text(static_cast<const char*>(out[i].data), out[i].size);
        texts.push_back(std::to_string(out[i].to->port()) + ":" + text);
    }
    return texts;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("datagrams come out whole, in order, with their addresses", "[datagram_queue]") {
    Queue queue(4096);
    CHECK(push(queue, "one", 1) == 0);
    CHECK(push(queue, "", 2) == 0);
    CHECK(push(queue, "three", 3) == 0);
    CHECK(all(queue) == Texts{"1:one", "2:", "3:three"});
    queue.pop(1);
    CHECK(all(queue) == Texts{"2:", "3:three"});
    CHECK(queue.size() == 2);
    queue.pop(2);
    CHECK(queue.empty());
}

TEST_CASE("gather names as many as are asked for", "[datagram_queue]") {
    Queue queue(4096);
    for (int i = 0; i < 5; ++i) REQUIRE(push(queue, "x") == 0);
    OutDatagram out[3];
    CHECK(queue.gather(out) == 3);
    CHECK(queue.gather({out, 0}) == 0);
}

TEST_CASE("the bound counts the overhead, and is exact", "[datagram_queue]") {
    Queue queue(2 * (Queue::overhead + 8));
    CHECK(push(queue, "12345678") == 0);
    CHECK(push(queue, "123456789") == ENOBUFS);
    CHECK(push(queue, "12345") == 0);  // rounded up to 8
    CHECK(push(queue, "") == ENOBUFS);
    CHECK(all(queue) == Texts{"1:12345678", "1:12345"});

    Queue none(0);
    CHECK(push(none, "") == ENOBUFS);
}

TEST_CASE("a ring that is used for long keeps every datagram whole", "[datagram_queue]") {
    for (size_t capacity = 500; capacity < 700; capacity += 12) {
        Queue queue(capacity);
        std::deque<std::string> expected;
        unsigned number = 0;
        size_t refused = 0;
        for (int step = 0; step < 2000; ++step) {
            number = number * 1103515245 + 12345;
            const std::string text(number >> 16U & 63U, static_cast<char>('a' + step % 26));
            if (push(queue, text) == 0) {
                expected.push_back("1:" + text);
            } else {
                ++refused;
                const size_t count = 1 + (number >> 8U) % queue.size();
                queue.pop(count);
                expected.erase(expected.begin(), expected.begin() + static_cast<long>(count));
            }
            if (all(queue) != Texts(expected.begin(), expected.end())) FAIL("differs at " << step);
        }
        CHECK(refused > 100);
    }
}

TEST_CASE("memory is taken once, and given back by clear", "[datagram_queue]") {
    {
        Queue queue(1024);
        CHECK(Counting::held() == 0);
        Counting::fail_after(1);
        CHECK(push(queue, "x") == ENOMEM);
        Counting::never_fail();
        CHECK(queue.empty());
        const size_t before = Counting::allocations();
        for (int i = 0; i < 100; ++i) {
            REQUIRE(push(queue, "x") == 0);
            queue.pop(1);
        }
        CHECK(Counting::allocations() == before + 1);
        queue.clear();
        CHECK(Counting::held() == 0);
        CHECK(push(queue, "again") == 0);
        CHECK(all(queue) == Texts{"1:again"});
    }
    CHECK(Counting::held() == 0);
    CHECK(Counting::mismatched() == 0);
}
