// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/slab.hpp>

#include <stdint.h>

#include <iterator>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include <rondo/core/handler.hpp>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

namespace {

using rondo::SlabKey;
using Memory = rondo::test::CountingMemory<30>;
using Ints = rondo::Slab<int, Memory>;

struct alignas(128) Wide {
    int value = 3;
};

struct Picky {
    explicit Picky(bool fail) {
        if (fail) throw 42;
    }
};

/// Calls a function when it is destroyed.
struct Farewell {
    explicit Farewell(rondo::Handler<void()> f) : say(std::move(f)) {}
    ~Farewell() {
        if (say) say();
    }
    rondo::Handler<void()> say;
};

struct Family {
    Family(rondo::Slab<Family, Memory>& slab, int children) {
        if (children > 0) child = slab.insert(slab, children - 1);
    }
    SlabKey child;
};

}  // namespace

TEST_CASE("a key finds its object until that is erased", "[slab]") {
    {
        Ints slab;
        const SlabKey seven = slab.insert(7);
        const SlabKey eight = slab.insert(8);
        REQUIRE(seven);
        CHECK(*slab.find(seven) == 7);
        CHECK(slab.size() == 2);
        CHECK(slab.erase(seven));
        CHECK(slab.find(seven) == nullptr);
        CHECK_FALSE(slab.erase(seven));
        CHECK(*slab.find(eight) == 8);
        CHECK(slab.size() == 1);
    }
    CHECK(Memory::held() == 0);
    CHECK(Memory::mismatched() == 0);
}

TEST_CASE("a stale key finds nothing when its place is used again", "[slab]") {
    Ints slab;
    const SlabKey stale = slab.insert(1);
    slab.erase(stale);
    const SlabKey fresh = slab.insert(2);
    CHECK(fresh.index == stale.index);
    CHECK(fresh != stale);
    CHECK(slab.find(stale) == nullptr);
    CHECK_FALSE(slab.erase(stale));
    CHECK(*slab.find(fresh) == 2);
}

TEST_CASE("the default key and a made-up one find nothing", "[slab]") {
    Ints slab;
    CHECK_FALSE(SlabKey());
    CHECK(slab.find(SlabKey()) == nullptr);
    const SlabKey key = slab.insert(1);
    CHECK(slab.find(SlabKey()) == nullptr);
    CHECK(slab.find({1'000'000, 1}) == nullptr);
    slab.erase(key);
    CHECK(slab.find({key.index, key.generation + 1}) == nullptr);
    CHECK_FALSE(slab.erase({key.index, key.generation + 1}));
}

TEST_CASE("a slab agrees with a map through a long random history", "[slab]") {
    Ints slab;
    std::map<int, std::pair<SlabKey, int*>> model;
    std::vector<SlabKey> gone;
    std::mt19937 random(7);
    for (int step = 0; step < 5'000; ++step) {
        if (model.empty() || random() % 5 < 3) {
            const SlabKey key = slab.insert(step);
            model[step] = {key, slab.find(key)};
        } else {
            auto victim = model.begin();
            std::advance(victim, static_cast<long>(random() % model.size()));
            REQUIRE(slab.erase(victim->second.first));
            gone.push_back(victim->second.first);
            model.erase(victim);
        }
    }
    CHECK(slab.size() == model.size());
    size_t wrong = 0;
    for (const auto& [value, place] : model) {
        if (slab.find(place.first) != place.second || *place.second != value) ++wrong;
    }
    for (const SlabKey key : gone) wrong += slab.find(key) != nullptr ? 1U : 0U;
    CHECK(wrong == 0);
    size_t visited = 0;
    slab.for_each(
        [&](SlabKey key, int& value) { visited += model.at(value).first == key ? 1U : 0U; });
    CHECK(visited == model.size());
}

TEST_CASE("for_each may erase what it visits", "[slab]") {
    Ints slab;
    for (int i = 0; i < 40; ++i) REQUIRE(slab.insert(i));
    slab.for_each([&](SlabKey key, int& value) {
        if (value % 2 == 0) slab.erase(key);
    });
    CHECK(slab.size() == 20);
    slab.for_each([](SlabKey, int& value) { CHECK(value % 2 == 1); });
    slab.clear();
    CHECK(slab.empty());
}

TEST_CASE("every allocation that fails leaves the slab as it was", "[slab]") {
    Ints slab;
    std::vector<SlabKey> keys;
    const auto fill = [&](int) {
        while (keys.size() < 60) {
            const SlabKey key = slab.insert(static_cast<int>(keys.size()));
            if (!key) break;
            keys.push_back(key);
        }
        CHECK(slab.size() == keys.size());
        for (size_t i = 0; i < keys.size(); ++i) CHECK(*slab.find(keys[i]) == static_cast<int>(i));
    };
    CHECK(rondo::test::with_each_allocation_failing<Memory>(fill) >= 2);
    CHECK(keys.size() == 60);
}

TEST_CASE("a constructor that throws leaves the slab as it was", "[slab]") {
    rondo::Slab<Picky, Memory> slab;
    CHECK_THROWS_AS(slab.insert(true), int);
    CHECK(slab.empty());
    const SlabKey first = slab.insert(false);
    CHECK_THROWS_AS(slab.insert(true), int);
    const SlabKey second = slab.insert(false);
    CHECK(first.index == 0);
    CHECK(second.index == 1);
    CHECK(slab.size() == 2);
}

TEST_CASE("a constructor may insert into the slab it is made in", "[slab]") {
    rondo::Slab<Family, Memory> slab;
    SlabKey key = slab.insert(slab, 40);
    CHECK(slab.size() == 41);
    size_t generations = 0;
    while (Family* const member = slab.find(key)) {
        ++generations;
        key = member->child;
    }
    CHECK(generations == 41);
}

TEST_CASE("a callable's destructor may use the slab it lives in", "[slab]") {
    rondo::Slab<Farewell, Memory> slab;
    SlabKey self;
    SlabKey other;
    SlabKey born;
    bool found_itself = true;
    other = slab.insert(rondo::Handler<void()>());
    self = slab.insert([&] {
        found_itself = slab.find(self) != nullptr || slab.erase(self);
        slab.erase(other);
        for (int i = 0; i < 50; ++i) born = slab.insert(rondo::Handler<void()>());
    });
    CHECK(slab.erase(self));
    CHECK_FALSE(found_itself);
    CHECK(slab.find(other) == nullptr);
    CHECK(slab.size() == 50);
    CHECK(slab.find(born) != nullptr);
}

TEST_CASE("clearing a slab also destroys what the destructors insert", "[slab]") {
    int farewells = 0;
    {
        rondo::Slab<Farewell, Memory> slab;
        for (int i = 0; i < 3; ++i) {
            slab.insert([&] {
                ++farewells;
                slab.insert([&] { ++farewells; });
            });
        }
    }
    CHECK(farewells == 6);
    CHECK(Memory::held() == 0);
}

TEST_CASE("an over-aligned object is aligned", "[slab]") {
    rondo::Slab<Wide, Memory> slab;
    for (int i = 0; i < 40; ++i) {
        CHECK(reinterpret_cast<uintptr_t>(slab.find(slab.insert())) % 128 == 0);
    }
}
