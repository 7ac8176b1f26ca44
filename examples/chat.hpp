// SPDX-License-Identifier: BSL-1.0
#pragma once
// A room: each line that somebody says is told to all others. Who reads too slowly misses lines
// instead of holding up the rest or filling the memory, and is told how many.

#include <chrono>
#include <string>
#include <string_view>

#include <rondo/rondo.hpp>

namespace example {

struct Guest {
    std::string name;
    size_t missed = 0;  // lines, since it became full
};

template <class Loop>
class Chat {
public:
    using Guests = rondo::Server<Loop, Guest>;

    // [chat]
    explicit Chat(Loop& loop) : guests_(loop, {.high_water = 65536}) {
        guests_.on_open([this](auto& guest) {
            guest.state().name = "guest" + std::to_string(++came_);
            guest.send("* you are " + guest.state().name + "; /name NEW changes that\n");
            tell(&guest, "* " + guest.state().name + " came\n");
        });
        guests_.on_data(rondo::delimited("\n", [this](auto& guest, std::string_view line) {
            if (line.starts_with("/name ")) return rename(guest, line.substr(6));
            tell(&guest, guest.state().name + ": " + std::string(line) + "\n");
        }));
        guests_.on_drain([](auto& guest) {
            const size_t missed = std::exchange(guest.state().missed, 0);
            if (missed != 0) guest.send("* you missed " + std::to_string(missed) + " lines\n");
        });
        guests_.on_close([this](auto& guest, const rondo::Error&) {
            tell(nullptr, "* " + guest.state().name + " left\n");
        });
    }

    auto listen(const rondo::Endpoint& at) { return guests_.listen(at); }
    auto local() { return guests_.local().value(); }
    void stop() { guests_.drain(std::chrono::seconds(1)); }

private:
    using Connection = typename Guests::Connection;

    void tell(const Connection* except, const std::string& line) {
        guests_.for_each([&](Connection& guest) {
            if (&guest == except) return;
            guest.full() ? void(++guest.state().missed) : void(guest.send(line));
        });
    }
    // [/chat]

    void rename(Connection& guest, std::string_view name) {
        tell(nullptr, "* " + guest.state().name + " is now " + std::string(name) + "\n");
        guest.state().name = name;
    }

    Guests guests_;
    size_t came_ = 0;
};

}  // namespace example
