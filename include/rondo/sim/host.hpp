// SPDX-License-Identifier: BSL-1.0
#pragma once
// Host: a machine of a simulated world. It has a name, an address of each family, descriptors, and
// the sockets that are bound to its ports.

#include <map>
#include <string>
#include <vector>

#include <rondo/sim/kinds.hpp>

namespace rondo::inline RONDO_ABI::sim {

class Host {
public:
    Host(int index, std::string name) : name_(std::move(name)), index_(index) {}
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    const std::string& name() const noexcept { return name_; }
    int index() const noexcept { return index_; }
    /// 10.0.0.1 for the first one, and so on.
    Endpoint address(uint16_t port) const noexcept {
        const auto number = static_cast<unsigned>(index_) + 1;
        return Endpoint::ipv4(10, 0, static_cast<uint8_t>(number >> 8U),
                              static_cast<uint8_t>(number), port);
    }
    bool has(const Endpoint& at) const noexcept {
        if (at.family() == Family::ipv4 && at.address()[0] == 127) return true;
        return at.with_port(0) == address(0) || is_wildcard(at) ||
               at.with_port(0) == Endpoint::ipv6_loopback(0);
    }
    static bool is_wildcard(const Endpoint& at) noexcept {
        return at.with_port(0) == Endpoint::ipv4_any(0) || at.with_port(0) == Endpoint::ipv6_any(0);
    }
    /// Each turn of its loops takes as long as WorldOptions::turn says.
    void set_slow(bool on) noexcept { slow_ = on; }
    bool slow() const noexcept { return slow_; }
    /// How many descriptors may be open at once; more is EMFILE.
    void set_fd_max(size_t count) noexcept { fd_max_ = count; }
    size_t open_descriptors() const noexcept { return open_; }

    // Descriptors.

    bool full() const noexcept { return open_ >= fd_max_; }
    /// The lowest free number, as a kernel gives it.
    int insert(std::shared_ptr<Object> object) {
        size_t at = 0;
        while (at < table_.size() && table_[at]) ++at;
        if (at == table_.size()) table_.emplace_back();
        table_[at] = std::move(object);
        ++open_;
        return first_fd + static_cast<int>(at);
    }
    Object* find(int fd) const noexcept {
        const auto at = static_cast<size_t>(fd - first_fd);
        return fd < first_fd || at >= table_.size() ? nullptr : table_[at].get();
    }
    std::shared_ptr<Object> shared(int fd) const noexcept {
        return find(fd) == nullptr ? nullptr : table_[static_cast<size_t>(fd - first_fd)];
    }
    /// What a descriptor stands for from now on.
    void replace(int fd, std::shared_ptr<Object> object) {
        table_[static_cast<size_t>(fd - first_fd)] = std::move(object);
    }
    void close(int fd) {
        const auto object = shared(fd);
        if (!object) return;
        visit(*object, [](auto& one) { one.close(); });
        object->forget();
        table_[static_cast<size_t>(fd - first_fd)].reset();
        --open_;
    }
    template <class F>
    void for_each(F&& f) {
        for (const auto& object : table_) {
            if (object) f(*object);
        }
    }

    // Ports. Streams and datagrams have numbers of their own.

    uint16_t free_port() noexcept { return next_port_++; }
    /// False: the name is taken.
    bool take_name(const Endpoint& at, bool stream, const std::shared_ptr<Object>& by, bool share) {
        auto& owners = names_[key(at, stream)];
        std::erase_if(owners, [](const auto& owner) { return owner.expired(); });
        if (!share && !owners.empty()) return false;
        owners.push_back(by);
        return true;
    }
    void rename(const Endpoint& at, const std::shared_ptr<Object>& from,
                const std::shared_ptr<Object>& to) {
        for (auto& owner : names_[key(at, true)]) {
            if (owner.lock() == from) owner = to;
        }
    }
    /// Who has that name, or one that stands for all of the host; nullptr: nobody.
    /// `turn` chooses among several.
    std::shared_ptr<Object> named(const Endpoint& at, bool stream, uint64_t turn) {
        const Endpoint wildcard = at.family() == Family::ipv4 ? Endpoint::ipv4_any(at.port())
                                                              : Endpoint::ipv6_any(at.port());
        for (const Endpoint& name : {at, wildcard}) {
            const auto found = names_.find(key(name, stream));
            if (found == names_.end()) continue;
            auto& owners = found->second;
            std::erase_if(owners, [](const auto& owner) { return owner.expired(); });
            if (!owners.empty()) return owners[turn % owners.size()].lock();
        }
        return nullptr;
    }

private:
    // Far from the numbers that the operating system gives, so that a mix-up is noticed.
    static constexpr int first_fd = 1000;

    static std::string key(const Endpoint& at, bool stream) {
        return (stream ? "stream " : "datagram ") + std::string(at.text().view());
    }

    const std::string name_;
    const int index_;
    bool slow_ = false;
    size_t open_ = 0;
    size_t fd_max_ = SIZE_MAX;
    uint16_t next_port_ = 40000;
    std::vector<std::shared_ptr<Object>> table_;
    std::map<std::string, std::vector<std::weak_ptr<Object>>> names_;
};

}  // namespace rondo::inline RONDO_ABI::sim
