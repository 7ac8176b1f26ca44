// SPDX-License-Identifier: BSL-1.0
#include <rondo/net/framing.hpp>

#include <string>
#include <vector>

#include "net/connection_rig.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

// A rig that keeps the messages it is told.
template <class P>
struct Reader : StreamRig<P> {
    explicit Reader(const ConnectionOptions& options = {}) : StreamRig<P>(options) {}

    auto keep() {
        return [this](auto& connection, std::string_view message) {
            messages.emplace_back(message);
            if (message == "pause") connection.pause();
            if (message == "close") connection.close();
            if (message == "large") connection.send(std::string(2000, 'x'));
        };
    }
    auto keep_bytes() {
        return [this](auto&, std::span<const std::byte> message) {
            messages.push_back(text_of(message));
        };
    }

    std::vector<std::string> messages;
};

using Messages = std::vector<std::string>;

}  // namespace

KERNEL_CASE("messages end with their delimiter, however they arrive", "[framing]") {
    Reader<TestType> reader;
    reader.group.on_data(delimited("\r\n", reader.keep()));
    auto& connection = reader.open();
    reader.peer_sends("one\r\n\r\ntwo\nmore\r\nhal");
    reader.turns();
    REQUIRE(reader.messages == Messages{"one", "", "two\nmore"});
    REQUIRE(connection.unconsumed() == 3);
    for (const char byte : std::string("f\r\n")) {
        REQUIRE(reader.messages.size() == 3);
        reader.peer_sends({&byte, 1});
        reader.turns();
    }
    REQUIRE(reader.messages.back() == "half");
    REQUIRE(connection.unconsumed() == 0);
}

KERNEL_CASE("messages after a pause wait for the end of it", "[framing]") {
    Reader<TestType> reader;
    reader.group.on_data(delimited("\n", reader.keep()));
    auto& connection = reader.open();
    reader.peer_sends("a\npause\nb\npause\nc\n");
    reader.turns();
    REQUIRE(reader.messages == Messages{"a", "pause"});
    connection.resume();
    reader.turns();
    REQUIRE(reader.messages == Messages{"a", "pause", "b", "pause"});
    connection.resume();
    reader.turns();
    REQUIRE(reader.messages.back() == "c");
}

KERNEL_CASE("messages after a close aren't told", "[framing]") {
    Reader<TestType> reader;
    reader.group.on_data(delimited("\n", reader.keep()));
    reader.open();
    reader.peer_sends("a\nclose\nb\n");
    reader.turns();
    reader.peer_sends("c\n");
    reader.peer_finishes();
    reader.turns();
    REQUIRE(reader.messages == Messages{"a", "close"});
    REQUIRE(reader.closed == 1);
    REQUIRE(reader.reason == 0);
}

KERNEL_CASE("a handler that throws loses no other message", "[framing]") {
    const bool prefixed = GENERATE(false, true);
    Reader<TestType> reader;
    const auto take = [&](std::string_view message) {
        reader.messages.emplace_back(message);
        if (message == "b") throw Thrown();
    };
    if (prefixed) {
        reader.group.on_data(length_prefixed<1>(
            [&](auto&, std::span<const std::byte> message) { take(text_of(message)); }));
    } else {
        reader.group.on_data(
            delimited("\n", [&](auto&, std::string_view message) { take(message); }));
    }
    reader.open();
    reader.peer_sends(prefixed ? "\1a\1b\1c\7par" : "a\nb\nc\npar");
    CHECK_THROWS_AS(reader.turns(), Thrown);
    reader.turns();
    CHECK(reader.messages == Messages{"a", "b", "c"});
    reader.peer_sends(prefixed ? "tial" : "tial\n");
    reader.turns();
    CHECK(reader.messages == Messages{"a", "b", "c", "partial"});
}

TEST_CASE("messages wait while the replies to earlier ones do", "[framing]") {
    Reader<ManualPoller> reader({.high_water = 1000, .low_water = 0});
    reader.rig.world().set_capacity(1500);
    reader.group.on_data(delimited("\n", reader.keep()));
    auto& connection = reader.open();
    reader.peer_sends("large\nlarge\nlarge\n");
    reader.turns();
    // What didn't go out at once is 500, below the mark; with the second reply it is above.
    REQUIRE(reader.messages.size() == 2);
    REQUIRE(connection.unconsumed() == 6);
    size_t heard = 0;
    for (int i = 0; i < 10; ++i) {
        heard += reader.peer_hears().size();
        reader.turns();
    }
    REQUIRE(heard == 6000);
    REQUIRE(reader.messages.size() == 3);
}

TEST_CASE("messages go on while others' bytes wait", "[framing]") {
    Reader<ManualPoller> reader({.high_water = 1000});
    reader.group.on_data(delimited("\n", reader.keep()));
    auto& connection = reader.open();
    while (!connection.full()) connection.send(std::string(100'000, 'x'));
    reader.peer_sends("a\nb\n");
    reader.turns();
    CHECK(reader.messages == Messages{"a", "b"});
}

TEST_CASE("messages that waited for room go on when a nested turn has made it", "[framing]") {
    const bool read = GENERATE(false, true);  // before they have to wait
    Reader<ManualPoller> reader({.high_water = 1000});
    reader.rig.world().set_capacity(1500);
    reader.group.on_data(delimited("\n", [&](auto& connection, std::string_view message) {
        reader.messages.emplace_back(message);
        if (message == "pause") connection.pause();
        if (message != "a") return;
        connection.send(std::string(3000, 'x'));
        reader.peer_hears();
        reader.rig.loop.poll();
    }));
    auto& connection = reader.open();
    connection.send(std::string(3000, 'x'));  // from now on it is told when it can write
    while (connection.unsent() != 0) {
        reader.peer_hears();
        reader.turns(1);
    }
    reader.peer_hears();
    reader.peer_sends(read ? "pause\na\nb\nc\n" : "pause\n");
    reader.turns();
    if (!read) reader.peer_sends("a\nb\nc\n");
    reader.turns();
    connection.resume();  // so it isn't the descriptor's handler that shows them
    reader.turns();       // and the peer is silent: no event helps
    CHECK(reader.messages == Messages{"pause", "a", "b", "c"});
    CHECK(connection.unconsumed() == 0);
}

TEST_CASE("a message that is too long ends the connection", "[framing]") {
    const bool ended = GENERATE(false, true);
    Reader<ManualPoller> reader;
    reader.group.on_data(delimited("\n", reader.keep(), 5));
    reader.open();
    reader.peer_sends("12345\n");
    reader.turns();
    REQUIRE(reader.closed == 0);
    reader.peer_sends(ended ? "123456\n" : "123456");
    reader.turns();
    REQUIRE(reader.messages == Messages{"12345"});
    REQUIRE(reader.closed == 1);
    REQUIRE(reader.reason == EMSGSIZE);
}

KERNEL_CASE("messages begin with their length", "[framing]") {
    Reader<TestType> reader;
    reader.group.on_data(length_prefixed<2>(reader.keep_bytes()));
    reader.open();
    const std::string sent("\0\1a\0\0\0\3xyz\1\0", 12);
    for (size_t i = 0; i < sent.size(); ++i) {
        reader.peer_sends(std::string_view(sent).substr(i, 1));
        reader.turns();
    }
    REQUIRE(reader.messages == Messages{"a", "", "xyz"});
    reader.peer_sends(std::string(256, 'l') + std::string("\0\1b", 3));
    reader.turns();
    REQUIRE(reader.messages.size() == 5);
    REQUIRE(reader.messages[3] == std::string(256, 'l'));
    REQUIRE(reader.messages[4] == "b");
}

TEST_CASE("what is sent with its length is received so, in either order of bytes", "[framing]") {
    Reader<ManualPoller> reader;
    reader.group.on_data(length_prefixed<4, std::endian::little>(reader.keep_bytes()));
    auto& connection = reader.open();
    const std::string text = pattern(40'000);
    const size_t writes = reader.rig.world().counters().writes;
    REQUIRE(
        send_length_prefixed<4, std::endian::little>(connection, std::as_bytes(std::span(text))));
    REQUIRE(reader.rig.world().counters().writes == writes + 1);
    const std::string sent = reader.peer_hears();
    REQUIRE(sent.substr(0, 4) == std::string("\x40\x9c\x00\x00", 4));
    reader.peer_sends(sent);
    reader.turns(10);
    const bool same = reader.messages == Messages{text};
    REQUIRE(same);
}

TEST_CASE("a length that no message may have ends the connection at once", "[framing]") {
    Reader<ManualPoller> reader;
    reader.group.on_data(length_prefixed<8>(reader.keep_bytes()));
    reader.open();
    reader.peer_sends("\xff\xff\xff\xff\xff\xff\xff\xff");
    reader.turns();
    REQUIRE(reader.closed == 1);
    REQUIRE(reader.reason == EMSGSIZE);
}

TEST_CASE("a message that its length can't tell isn't sent", "[framing]") {
    Reader<ManualPoller> reader;
    auto& connection = reader.open();
    const std::string text(256, 'x');
    REQUIRE(!send_length_prefixed<1>(connection, std::as_bytes(std::span(text))));
    REQUIRE(reader.peer_hears().empty());
    REQUIRE(send_length_prefixed<1>(connection, std::as_bytes(std::span(text).first(255))));
    REQUIRE(reader.peer_hears().size() == 256);
}

TEST_CASE("an empty delimiter is a mistake of the program", "[framing]") {
    const auto death = dies([] { delimited("", [](auto&, std::string_view) {}); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("a delimiter has at least one byte"));
}
