// SPDX-License-Identifier: BSL-1.0
#pragma once
// Host: a machine of a simulated world. It has a name, an address of each family, descriptors, and
// the sockets that are bound to its ports.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
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
    /// 10.0.0.1 for the first one, and so on; of IPv6, fd00::1.
    Endpoint address(uint16_t port, Family family = Family::ipv4) const noexcept {
        const auto number = static_cast<unsigned>(index_) + 1;
        const auto high = static_cast<uint8_t>(number >> 8U), low = static_cast<uint8_t>(number);
        if (family == Family::ipv4) return Endpoint::ipv4(10, 0, high, low, port);
        const uint8_t bytes[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low};
        return Endpoint::ipv6(bytes, port);
    }
    bool has(const Endpoint& at) const noexcept {
        if (at.family() == Family::ipv4 && at.address()[0] == 127) return true;
        return at.with_port(0) == address(0, at.family()) || at.is_any() ||
               at.with_port(0) == Endpoint::ipv6_loopback(0);
    }
    /// An address as a socket of that family sees it: IPv4-mapped in IPv6 (RFC 4291, 2.5.5.2).
    static Endpoint seen_by(Family family, const Endpoint& at) noexcept {
        if (family != Family::ipv6 || at.family() != Family::ipv4) return at;
        uint8_t bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        std::ranges::copy(at.address(), bytes + 12);
        return Endpoint::ipv6(bytes, at.port());
    }
    /// Each turn of its loops takes as long as WorldOptions::turn says.
    void set_slow(bool on) noexcept { slow_ = on; }
    bool slow() const noexcept { return slow_; }
    /// How many descriptors may be open at once; more is EMFILE.
    void set_fd_max(size_t count) noexcept { fd_max_ = count; }
    size_t open_descriptors() const noexcept { return open_; }

    // Descriptors.

    bool has_room(size_t count = 1) const noexcept {
        return open_ < fd_max_ && count <= fd_max_ - open_;
    }
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

    /// Another one each time, until all of them have been given: then the first one comes again.
    uint16_t next_port() noexcept {
        if (last_port_ == UINT16_MAX) last_port_ = before_ports;
        return ++last_port_;
    }
    /// A name, and one that goes with it or none. False: one of them is taken.
    bool take_names(const Endpoint& at, const Endpoint& also, bool stream,
                    const std::shared_ptr<Object>& by, bool share) {
        for (const Endpoint& name : {at, also}) {
            if (name && !share && named_by(name, stream) != nullptr) return false;
        }
        for (const Endpoint& name : {at, also}) {
            if (name) names_[key(name, stream)].push_back(by);
        }
        return true;
    }
    void rename(const std::shared_ptr<Object>& from, const std::shared_ptr<Object>& to) {
        for (auto& [name, owners] : names_) {
            for (auto& owner : owners) {
                if (owner.lock() == from) owner = to;
            }
        }
    }
    /// Who has that name, or one that stands for all of the host; nullptr: nobody.
    /// `turn` chooses among several.
    std::shared_ptr<Object> named(const Endpoint& at, bool stream, uint64_t turn) {
        const Endpoint wildcard = at.family() == Family::ipv4 ? Endpoint::ipv4_any(at.port())
                                                              : Endpoint::ipv6_any(at.port());
        for (const Endpoint& name : {at, wildcard}) {
            const auto* const owners = named_by(name, stream);
            if (owners != nullptr) return (*owners)[turn % owners->size()].lock();
        }
        return nullptr;
    }

private:
    // Far from the numbers that the operating system gives, so that a mix-up is noticed.
    static constexpr int first_fd = 1000;
    static constexpr uint16_t before_ports = 39'999;

    using Owners = std::vector<std::weak_ptr<Object>>;

    // Those that are still there; nullptr: nobody.
    const Owners* named_by(const Endpoint& name, bool stream) {
        const auto found = names_.find(key(name, stream));
        if (found == names_.end()) return nullptr;
        std::erase_if(found->second, [](const auto& owner) { return owner.expired(); });
        return found->second.empty() ? nullptr : &found->second;
    }

    static std::string key(const Endpoint& at, bool stream) {
        return (stream ? "stream " : "datagram ") + std::string(at.text().view());
    }

    const std::string name_;
    const int index_;
    bool slow_ = false;
    size_t open_ = 0;
    size_t fd_max_ = SIZE_MAX;
    uint16_t last_port_ = before_ports;
    std::vector<std::shared_ptr<Object>> table_;
    std::map<std::string, Owners> names_;
};

}  // namespace rondo::inline RONDO_ABI::sim
