// SPDX-License-Identifier: BSL-1.0
// Datagrams in batches, by one call where the kernel can.

#include <rondo/os/socket_batches.hpp>

#include <string>
#include <vector>

#include "os/socket_support.hpp"

using namespace sockets_test;
using rondo::BatchResult;
using rondo::Datagram;
using rondo::OutDatagram;

namespace {

struct Udp {
    explicit Udp(const Endpoint& bound = Endpoint::ipv4_loopback(0)) {
        fd.reset(PosixSockets::open(bound.family(), SocketKind::datagram).value());
        REQUIRE(PosixSockets::bind(fd.get(), bound));
        at = PosixSockets::local(fd.get()).value();
    }
    void send(std::string_view text, const Endpoint& to) const {
        REQUIRE(PosixSockets::send_to(fd.get(), bytes(text), to));
    }
    /// What one batch brings, each with a '+' if it was cut.
    std::vector<std::string> receive(size_t room, size_t slot, size_t most) {
        settle();
        std::vector<std::byte> space(room);
        std::vector<Datagram> from(most);
        result = PosixSockets::receive_batch(fd.get(), space, slot, from);
        std::vector<std::string> all;
        for (size_t i = 0; i < result.count; ++i) {
            const auto* const text = reinterpret_cast<const char*>(space.data() + i * slot);
            all.emplace_back(text, from[i].bytes);
            if (from[i].truncated) all.back() += '+';
            peer = from[i].peer;
        }
        return all;
    }

    Fd fd;
    Endpoint at;
    Endpoint peer;
    BatchResult result;
};

OutDatagram out(std::string_view text, const Endpoint* to = nullptr) {
    return {text.data(), text.size(), to};
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a batch brings what has come, each with its sender and whether it was cut") {
    Udp a;
    const Udp b;
    for (const char* text : {"one", "", "three", "four"}) b.send(text, a.at);
    CHECK(a.receive(4 * 64, 4, 64) == Texts{"one", "", "thre+", "four"});
    CHECK(a.peer == b.at);
    CHECK(a.receive(4 * 64, 4, 64).empty());
    CHECK(a.result.would_block());
}

TEST_CASE("a batch takes no more than both spans have room for") {
    Udp a;
    const Udp b;
    for (int i = 0; i < 100; ++i) b.send(std::to_string(i), a.at);
    CHECK(a.receive(100, 10, 2) == Texts{"0", "1"});
    CHECK(a.receive(39, 10, 64) == Texts{"2", "3", "4"});
    CHECK(a.result.code == 0);
    CHECK(a.receive(39, 40, 64).empty());  // not one fits
    CHECK(a.result.code == 0);
    size_t rest = 0;
    while (const size_t count = a.receive(10 * 100, 10, 100).size()) rest += count;
    CHECK(rest == 95);
}

TEST_CASE("a batch is sent in its order, to several peers") {
    Udp a;
    Udp b;
    const Udp from;
    const OutDatagram batch[] = {out("1", &a.at), out("2", &b.at), out("", &a.at), out("3", &a.at)};
    const BatchResult sent = PosixSockets::send_batch(from.fd.get(), batch);
    CHECK(sent.count == 4);
    CHECK(sent.code == 0);
    CHECK(a.receive(640, 10, 64) == Texts{"1", "", "3"});
    CHECK(b.receive(640, 10, 64) == Texts{"2"});
    CHECK(b.peer == from.at);
}

TEST_CASE("a batch without addresses goes to the peer of a connected socket") {
    Udp a;
    const Udp from;
    const OutDatagram batch[] = {out("1"), out("2")};
    CHECK(PosixSockets::send_batch(from.fd.get(), batch).code == EDESTADDRREQ);
    REQUIRE(PosixSockets::connect(from.fd.get(), a.at));
    CHECK(PosixSockets::send_batch(from.fd.get(), batch).count == 2);
    CHECK(a.receive(640, 10, 64) == Texts{"1", "2"});
}

TEST_CASE("a batch ends at what can't be sent, and the next one says why") {
    Udp a;
    const Udp from;
    const std::string large(65508, 'x');
    const Endpoint nowhere = Endpoint::unix_unnamed();
    for (const auto& [bad, code] :
         {std::pair(out(large, &a.at), EMSGSIZE), std::pair(out("x", &nowhere), EINVAL)}) {
        const OutDatagram batch[] = {out("1", &a.at), out("2", &a.at), bad, out("3", &a.at)};
        const BatchResult sent = PosixSockets::send_batch(from.fd.get(), batch);
        CHECK(sent.count == 2);
        CHECK((sent.code == 0 || sent.code == code));
        const BatchResult rest =
            PosixSockets::send_batch(from.fd.get(), std::span(batch).subspan(2));
        CHECK(rest.count == 0);
        CHECK(rest.code == code);
        CHECK(a.receive(640, 10, 64) == Texts{"1", "2"});
    }
}

TEST_CASE("an empty batch, and one on a closed descriptor") {
    Udp a;
    const OutDatagram one = out("x", &a.at);
    CHECK(PosixSockets::send_batch(a.fd.get(), {}).code == 0);
    CHECK(PosixSockets::send_batch(-1, {&one, 1}).code == EBADF);
    a.fd.reset();
    a.receive(640, 10, 64);
    CHECK(a.result.code == EBADF);
}

TEST_CASE("a batch hears that nobody listens") {
    Udp a;
    Udp gone;
    REQUIRE(PosixSockets::connect(a.fd.get(), gone.at));
    gone.fd.reset();
    const OutDatagram one = out("x");
    CHECK(PosixSockets::send_batch(a.fd.get(), {&one, 1}).count == 1);
    wait_for(a.fd.get(), POLLIN);
    a.receive(640, 10, 64);
    CHECK(a.result.code == ECONNREFUSED);
}
