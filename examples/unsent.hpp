// SPDX-License-Identifier: BSL-1.0
#pragma once
// What a server has said and the system hasn't taken yet: a write may take a part, or nothing.

#include <span>
#include <string>
#include <string_view>

namespace example {

/// Keeps what waits to be sent to one client, in order.
class Unsent {
public:
    void add(char letter) { text_ += letter; }
    void add(std::string_view text) { text_ += text; }

    /// Sends what the system takes. False if the connection is gone.
    template <class Sockets>
    bool send(Sockets& sockets, int fd) {
        while (sent_ < text_.size()) {
            const auto put = sockets.write(fd, std::as_bytes(std::span(text_)).subspan(sent_));
            if (!put) return put.would_block();
            sent_ += put.bytes;
        }
        text_.clear();  // only now: taking every part off the front would move the rest each time
        sent_ = 0;
        return true;
    }

    bool empty() const { return text_.empty(); }

    /// True until all is sent, once several megabytes have come together: time to stop reading from
    /// a client that doesn't take its replies.
    bool full() const { return text_.size() >= 4 << 20; }

private:
    std::string text_;
    size_t sent_ = 0;
};

}  // namespace example
