// SPDX-License-Identifier: BSL-1.0
// The interpreter of kv_server: whatever comes, in whatever pieces, gets the same replies as if it
// came at once, and nothing outside of the bytes is looked at. Only what is wrong may be noticed
// later, when as much has come as a right command would have had.
#include "examples/kv/commands.hpp"

#include <memory>

#include "fuzz/input.hpp"

using rondo::test::demand;
using rondo::test::Input;

namespace {

struct Sink {
    std::string text;
    void send(std::string_view more) { text += more; }
};

// What a connection does: unused bytes are shown again, with more. The interpreter stays, because
// making one takes long; its keys go.
class Session {
public:
    Session() {
        kv_.store.client_list = [] { return std::string(); };
        kv_.store.shut_down = [] {};
    }
    /// The replies to `text`, which comes in pieces of that size.
    std::string replies(std::string_view text, size_t piece) {
        example::kv::Client client{.trusted = true};
        Sink sink;
        std::string pending;
        for (size_t at = 0; at < text.size() && !client.leaving; at += piece) {
            pending += text.substr(at, piece);
            show(client, pending);
            kv_.reply.send_by(sink);
        }
        for (auto& space : kv_.store.spaces) {
            if (space.size() != 0) space = example::kv::Keyspace(kv_.store.memory);
        }
        left_ = client.leaving;
        return sink.text;
    }

    bool left() const { return left_; }

private:
    void show(example::kv::Client& client, std::string& pending) {
        for (size_t used = 1; used != 0 && !pending.empty() && !client.leaving;) {
            // Of exactly this size, so that a sanitizer sees its end.
            const std::unique_ptr<char[]> bytes(new char[pending.size()]);
            std::copy(pending.begin(), pending.end(), bytes.get());
            used = kv_.run(client, {bytes.get(), pending.size()}, 1);
            demand(used <= pending.size(), "it has used more than there is");
            pending.erase(0, used);
        }
    }

    bool left_ = false;
    example::kv::Interpreter kv_{{.password = "",
                                  .clients_max = 1,
                                  .output_max = 1 << 20,
                                  .bulk_max = 1 << 16,
                                  .timeout = 0,
                                  .backlog = 1}};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input in(data, size);
    const size_t piece = 1 + in.below(20);
    const std::string_view text = in.rest();
    static Session at_once;
    static Session in_pieces;
    const std::string all = at_once.replies(text, text.size() + 1);
    const std::string told = in_pieces.replies(text, piece);
    demand(told == all || (at_once.left() && !in_pieces.left() && all.starts_with(told)),
           "the replies depend on the pieces");
    return 0;
}
