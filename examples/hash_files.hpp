// SPDX-License-Identifier: BSL-1.0
#pragma once
// A server that hashes files: reading one may take long, so it is a job for the worker pool, and
// the loop goes on answering. A client says "ping" or "hash PATH", a line each, and may say many
// before it reads; the replies come one per line, in the order in which they are ready.
//
// Only files and FIFOs below one directory are read, whatever the path says.

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rondo/rondo.hpp>
#include <rondo/thread/worker_pool.hpp>

namespace example {

/// FNV-1a, 64 bits. It tells files apart; it is no protection against anybody.
inline std::string hash_of(std::istream& in) {
    uint64_t hash = 0xcbf29ce484222325;
    std::array<char, 65536> part;
    while (in.read(part.data(), part.size()), in.gcount() > 0) {
        for (const char c : std::string_view(part.data(), static_cast<size_t>(in.gcount()))) {
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
        }
    }
    std::string digits(16, '0');
    for (size_t i = 16; i-- > 0; hash >>= 4) digits[i] = "0123456789abcdef"[hash & 15];
    return digits;
}

/// Blocks for as long as the disk, or the writer of a FIFO, takes.
inline std::string hash_file(const std::filesystem::path& root, const std::string& name) {
    namespace fs = std::filesystem;
    const auto refuse = [](const std::string& why) { throw std::runtime_error(why); };
    const fs::path asked(name);
    if (asked.is_absolute()) refuse("an absolute path");
    for (const fs::path& part : asked) {
        if (part == "..") refuse("a path that leads upwards");
    }
    std::error_code failed;
    const fs::path path = fs::canonical(root / asked, failed);
    if (failed) refuse(failed.message());
    const auto [end, _] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
    if (end != root.end()) refuse("a link that leads elsewhere");
    if (!fs::is_regular_file(path, failed) && !fs::is_fifo(path, failed)) refuse("not a file");
    std::ifstream in(path, std::ios::binary);
    if (!in) refuse("can't be read");
    return hash_of(in);
}

struct HashLimits {
    size_t threads, jobs;
    rondo::Duration grace;  // after stop(), for hashes under way
};

template <class Loop>
class HashServer {
public:
    HashServer(Loop& loop, std::string_view root, const HashLimits& limits)
        : root_(std::filesystem::canonical(root)),
          grace_(limits.grace),
          server_(loop, {.unsent_max = 4 << 20}),
          deadline_(loop.timer()),
          pool_(loop, {limits.threads, limits.jobs}) {
        server_.on_data([this](Connection& client, std::span<const std::byte> bytes) {
            return read({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, client);
        });
        server_.on_end([](Connection& client) {  // what it has asked for is still answered
            client.state().finished = true;
            close_if_done(client);
        });
        server_.on_drain([](Connection& client) {
            client.resume();
            if (client.unconsumed() == 0) close_if_done(client);
        });
        pool_.on_space([this] {
            for (const auto handle : std::exchange(waiting_, {})) {
                if (Connection* const client = server_.find(handle)) client->resume();
            }
        });
    }

    auto listen(const rondo::Endpoint& at) { return server_.listen(at); }
    auto local() { return server_.local().value(); }
    /// Nobody may ask any more; what was asked is answered, if it is ready in time.
    void stop() {
        stopping_ = true;
        server_.stop_listening();
        server_.for_each([](Connection& client) {
            client.state().finished = true;
            client.resume();
            close_if_done(client);
        });
        deadline_.after(grace_, [this] { server_.drain(rondo::Duration()); });
        server_.loop().background(deadline_.id(), true);  // nobody is left: don't wait for it
    }

private:
    struct Client {
        size_t asked = 0;  // hashes that it waits for
        bool finished = false;
    };
    using Connection = rondo::Connection<Loop, Client>;

    // Answers how much of `text` it has used: whole lines, and none for which the pool has no room.
    // Those are shown again after resume().
    size_t read(std::string_view text, Connection& client) {
        if (stopping_) return text.size();
        size_t used = 0;
        for (size_t end; (end = text.find('\n', used)) != text.npos; used = end + 1) {
            std::string_view line = text.substr(used, end - used);
            if (line.ends_with('\r')) line.remove_suffix(1);
            if (line == "ping") {
                client.send("pong\n");
            } else if (!line.starts_with("hash ")) {
                client.send("error: say ping, or hash PATH\n");
            } else if (!hash(std::string(line.substr(5)), client)) {
                client.pause();
                waiting_.push_back(client.handle());
                break;
            }
        }
        close_if_done(client);
        return used;
    }

    // The client may be gone when the answer comes: its handle finds nothing then.
    bool hash(const std::string& name, Connection& client) {
        const auto job = [root = root_, name] { return hash_file(root, name); };
        const auto done = [this, name, handle = client.handle()](rondo::Outcome<std::string> hash) {
            Connection* const asker = server_.find(handle);
            if (asker == nullptr) return;
            --asker->state().asked;
            try {
                asker->send(hash.value() + " " + name + "\n");
            } catch (const std::exception& why) {
                asker->send("error " + name + ": " + why.what() + "\n");
            }
            // The library stops reading for what on_data sends; this was sent later.
            if (asker->full()) asker->pause();
            close_if_done(*asker);
        };
        if (!pool_.submit(job, done)) return false;
        ++client.state().asked;
        return true;
    }

    static void close_if_done(Connection& client) {
        const Client& state = client.state();
        if (state.finished && state.asked == 0 && !client.paused()) client.close();
    }

    const std::filesystem::path root_;
    const rondo::Duration grace_;
    bool stopping_ = false;
    rondo::Server<Loop, Client> server_;
    typename Loop::Timer deadline_;
    std::vector<rondo::ConnectionHandle> waiting_;  // for room in the pool
    rondo::WorkerPool<Loop> pool_;                  // ends first: no answer comes afterwards
};

}  // namespace example
