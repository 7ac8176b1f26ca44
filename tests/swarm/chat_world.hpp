// SPDX-License-Identifier: BSL-1.0
#pragma once
// The chat of the examples, and guests on other hosts who count aloud. A guest hears another one
// count without a gap, from the beginning if it saw the other one come; and to the end, if nothing
// that ends streams went wrong.

#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <rondo/net/connector.hpp>
#include <rondo/net/framing.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "examples/chat.hpp"
#include "swarm/plan.hpp"

namespace rondo::test {

template <class P>
class BasicChatWorld {
public:
    using Loop = EventLoop<P>;

    explicit BasicChatWorld(const sim::WorldOptions& options)
        : world(options), chat_loop_(P(world, world.host("server"))) {
        chat_.emplace(chat_loop_);
        chat_->listen(Endpoint::ipv4_any(7000)).value();
        world.drive(chat_loop_);
        for (size_t i = 0; i < hosts; ++i) {
            sites_.push_back(std::make_unique<Site>(*this, "host" + std::to_string(i)));
        }
        for (size_t i = 0; i < guests; ++i) sites_[i % hosts]->begin();
        world.after(Duration::seconds(100), [this] {
            over_ = true;
            chat_->stop();
        });
    }

    std::string violations(bool complete = false) {
        Violations found;
        found.unless_equal(opened + failed, guests, "opened and failed, guests");
        found.unless_equal(closed_, opened, "closed, opened");
        if (complete) found.unless_equal(left_early_, 0, "guests who were gone before the end");
        found.unless_equal(wrong_lines_, 0, "lines that nobody has said so");
        sites_.clear();
        chat_.reset();
        found.at_end(world);
        return found.text();
    }

    static constexpr size_t hosts = 3;
    static constexpr size_t guests = 20;
    static constexpr int lines = 30;  // that each says
    sim::World world;
    size_t opened = 0, failed = 0;
    size_t heard = 0;  // lines that others have said

private:
    struct Guest {
        int said = 0;
        std::map<std::string, int, std::less<>> next;  // what each will say; those that are known
    };

    class Site {
    public:
        Site(BasicChatWorld& of, const std::string& name)
            : of_(of), loop_(P(of.world, of.world.host(name))), streams_(loop_) {
            streams_.on_open([this](auto& guest) {
                ++of_.opened;
                say(guest);
            });
            streams_.on_data(delimited(
                "\n", [this](auto& guest, std::string_view line) { hear(guest.state(), line); }));
            streams_.on_close([this](auto&, const Error&) { ++of_.closed_; });
            of.world.drive(loop_);
        }
        void begin() {
            connectors_.push_back(std::make_unique<Connector<Loop>>(loop_));
            connectors_.back()
                ->connect(of_.world.host("server").address(7000),
                          [this](Result<int> fd) {
                              if (!fd) {
                                  ++of_.failed;
                              } else {
                                  static_cast<void>(streams_.adopt(*fd).value());
                              }
                          })
                .value();
        }

    private:
        using Streams = Connections<Loop, Guest>;
        using Stream = typename Streams::Connection;

        // Its lines with a pause between them, the last five at once; then it leaves.
        void say(Stream& guest) {
            auto& random = of_.world.network().random;
            const int64_t pause = static_cast<int64_t>(random.below(2'000'000));
            loop_.after(Duration::microseconds(pause), [this, handle = guest.handle()] {
                Stream* const self = streams_.find(handle);
                if (self == nullptr) return;
                int& said = self->state().said;
                do {
                    self->send(std::to_string(said++) + "\n");
                } while (said > lines - 5 && said < lines);
                said == lines ? self->close() : say(*self);
            });
        }
        void hear(Guest& guest, std::string_view line) {
            if (line.starts_with("* ")) return told(guest, line.substr(2));
            const size_t colon = line.find(": ");
            int number = -1;
            if (colon != line.npos) {
                const char* const end = line.data() + line.size();
                const auto [at, code] = std::from_chars(line.data() + colon + 2, end, number);
                if (at != end || code != std::errc()) number = -1;
            }
            if (number < 0 || number >= lines || !line.starts_with("guest")) {
                ++of_.wrong_lines_;
                return;
            }
            ++of_.heard;
            const std::string who(line.substr(0, colon));
            const auto [next, stranger] = guest.next.try_emplace(who, number);
            if (next->second++ != number) ++of_.wrong_lines_;
        }
        // Who has come, who has left, and, of oneself, who one is.
        void told(Guest& guest, std::string_view line) {
            const std::string who(line.substr(0, line.find(' ')));
            if (line.ends_with(" came")) guest.next[who] = 0;
            if (!line.ends_with(" left") || of_.over_) return;
            const auto next = guest.next.find(who);
            if (next != guest.next.end() && next->second != lines) ++of_.left_early_;
        }

        BasicChatWorld& of_;
        Loop loop_;
        Streams streams_;
        std::vector<std::unique_ptr<Connector<Loop>>> connectors_;
    };

    Loop chat_loop_;
    std::optional<example::Chat<Loop>> chat_;
    bool over_ = false;
    size_t closed_ = 0, wrong_lines_ = 0, left_early_ = 0;
    std::vector<std::unique_ptr<Site>> sites_;
};

using ChatWorld = BasicChatWorld<SimPoller>;

}  // namespace rondo::test
