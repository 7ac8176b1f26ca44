// SPDX-License-Identifier: BSL-1.0
// A connection over a transport that changes the bytes, moves them in small parts, and now and then
// has to write before it can read and to read before it can write, as TLS does.

#include <rondo/net/transport.hpp>

#include <string>

#include <rondo/os/posix_sockets.hpp>

#include "net/connection_rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

constexpr std::byte key{0x20};
constexpr size_t part_max = 700;

/// Every byte is exclusive-ored. Now and then it must send a token before it reads on, as a key
/// update does, and must have heard one before it writes on. Tokens are bytes that the reader takes
/// out again.
class Xor {
public:
    static constexpr bool short_reads_drain = false;

    template <class Sockets>
    IoResult read(Sockets& sockets, int fd, std::span<std::byte> in) {
        if (token_due_ && !said_goodbye_) {
            const IoResult sent = sockets.write(fd, {&token, 1});
            if (!sent) {
                if (sent.would_block()) read_needs_ = Interest::write;
                return sent;
            }
            token_due_ = false;
        }
        read_needs_ = Interest::read;
        const IoResult got =
            sockets.read(fd, in.first(in.size() < part_max ? in.size() : part_max));
        if (!got || got.bytes == 0) return got;
        size_t kept = 0;
        for (size_t i = 0; i < got.bytes; ++i) {
            if (in[i] == token) {
                ++tokens_seen;
            } else {
                in[kept++] = in[i] ^ key;
            }
        }
        if (++reads_ % 5 == 0) token_due_ = true;
        if (kept != 0) return {kept, 0};
        return read(sockets, fd, in);
    }
    template <class Sockets>
    IoResult write(Sockets& sockets, int fd, std::span<const ConstBuffer> parts) {
        std::byte changed[part_max];
        size_t size = 0;
        for (const ConstBuffer& part : parts) {
            const auto* const bytes = static_cast<const std::byte*>(part.data);
            for (size_t i = 0; i < part.size && size < part_max; ++i)
                changed[size++] = bytes[i] ^ key;
        }
        return sockets.write(fd, {changed, size});
    }
    template <class Sockets>
    IoResult finish(Sockets& sockets, int fd) {
        if (!said_goodbye_) {
            const IoResult sent = sockets.write(fd, {&token, 1});
            if (!sent) return sent;
            said_goodbye_ = true;
        }
        return Plain::finish(sockets, fd);
    }
    Interest read_needs() const { return read_needs_; }
    Interest write_needs() const { return write_needs_; }

    size_t tokens_seen = 0;

private:
    static constexpr std::byte token{0xff};

    Interest read_needs_ = Interest::read;
    Interest write_needs_ = Interest::write;
    size_t reads_ = 0;
    bool token_due_ = false;
    bool said_goodbye_ = false;
};

static_assert(Transport<Plain, PosixSockets> && Transport<Xor, ManualSockets>);

}  // namespace

KERNEL_CASE("a transport may change bytes, move few of them, and write in order to read",
            "[transport]") {
    using Loop = typename Rig<TestType>::Loop;
    Rig<TestType> rig;
    Connections<Loop, NoState, Xor> group(rig.loop, {.high_water = 100'000, .low_water = 10'000});
    const FdPair ends = rig.loop.sockets().pair(SocketKind::stream).value();
    constexpr size_t window = 10'000;
    const std::string all = pattern(50 * window);
    std::string back;
    int closed = 0;
    const ConnectionHandle echo = group.adopt(ends.first).value();
    const ConnectionHandle client = group.adopt(ends.second).value();
    group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        if (connection.handle() == echo) {
            connection.send(bytes);
            return;
        }
        // Both sides may have to write in order to read: no more is on the way than fits.
        back += text_of(bytes);
        if (back.size() % window == 0 && back.size() < all.size()) {
            connection.send(std::string_view(all).substr(back.size(), window));
        }
        if (back.size() == all.size()) connection.close();
    });
    group.on_close([&](auto& connection, const Error& error) {
        CHECK_FALSE(error);
        CHECK(connection.transport().tokens_seen > 0);
        ++closed;
    });
    group.find(client)->send(std::string_view(all).substr(0, window));
    rig.loop.run();
    CHECK((back == all));
    CHECK(closed == 2);
}
