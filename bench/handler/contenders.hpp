// SPDX-License-Identifier: BSL-1.0
#pragma once
// Ways to hold a callable of an unknown type: a function pointer with a context, rondo::Handler,
// std::function, and a virtual function. Each contender has places for as many as there are: make()
// constructs a callable in a place, call() calls it, end() destroys it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <vector>

#include <rondo/core/handler.hpp>

namespace bench {

/// What a callable captures: a pointer, and words until it has `size` bytes.
template <size_t size>
struct Capture {
    const uint64_t* cell;
    uint64_t words[size / 8 - 1];

    Capture(const uint64_t* at, uint64_t word) : cell(at) {
        for (uint64_t& each : words) each = word;
    }
    uint64_t sum() const { return *cell + words[size / 8 - 2]; }
};
template <>
struct Capture<8> {
    const uint64_t* cell;

    Capture(const uint64_t* at, uint64_t) : cell(at) {}
    uint64_t sum() const { return *cell; }
};

constexpr int kinds = 4;

/// One of several types that do different things, so that a call isn't always the same.
template <int kind, size_t size>
struct Callable {
    Capture<size> capture;

    uint64_t operator()(uint64_t x) const {
        if constexpr (kind == 0) return capture.sum() + x;
        if constexpr (kind == 1) return capture.sum() ^ x;
        if constexpr (kind == 2) return capture.sum() - x;
        if constexpr (kind == 3) return capture.sum() * x;
    }
};

/// By hand: the capture is in a place of the user's, which in a program is the object that the call
/// is for. Nothing is destroyed; the place is only marked as empty.
template <size_t size>
class Pointers {
public:
    explicit Pointers(size_t count) : records_(count), contexts_(count) {}

    template <int kind>
    void make(size_t at, const Capture<size>& capture) {
        using F = Callable<kind, size>;
        void* const context = ::new (contexts_[at].bytes) F{capture};
        const auto call = [](void* f, uint64_t x) { return (*static_cast<F*>(f))(x); };
        records_[at] = {call, context};
    }
    uint64_t call(size_t at, uint64_t x) { return records_[at].call(records_[at].context, x); }
    void end(size_t at) { records_[at].call = nullptr; }

private:
    struct Record {
        uint64_t (*call)(void*, uint64_t);
        void* context;
    };
    struct Context {
        alignas(8) unsigned char bytes[size];
    };

    std::vector<Record> records_;
    std::vector<Context> contexts_;
};

/// rondo::Handler and std::function, made in raw memory, as in a larger object.
template <class Function, size_t size>
class Functions {
public:
    explicit Functions(size_t count) : places_(count) {}

    template <int kind>
    void make(size_t at, const Capture<size>& capture) {
        ::new (places_[at].bytes) Function(Callable<kind, size>{capture});
    }
    uint64_t call(size_t at, uint64_t x) { return function(at)(x); }
    void end(size_t at) { function(at).~Function(); }

private:
    struct alignas(alignof(Function)) Place {
        unsigned char bytes[sizeof(Function)];
    };
    Function& function(size_t at) {
        return *std::launder(reinterpret_cast<Function*>(places_[at].bytes));
    }

    std::vector<Place> places_;
};

template <size_t size>
using Handlers = Functions<rondo::Handler<uint64_t(uint64_t)>, size>;
template <size_t size>
using StdFunctions = Functions<std::function<uint64_t(uint64_t)>, size>;

/// A virtual function. Objects of several types that come and go are on the heap.
template <size_t size>
class Virtuals {
public:
    explicit Virtuals(size_t count) : objects_(count) {}

    template <int kind>
    void make(size_t at, const Capture<size>& capture) {
        objects_[at] = new Object<kind>(capture);
    }
    uint64_t call(size_t at, uint64_t x) { return objects_[at]->call(x); }
    void end(size_t at) { delete objects_[at]; }

private:
    struct Base {
        virtual ~Base() = default;
        virtual uint64_t call(uint64_t x) = 0;
    };
    template <int kind>
    struct Object final : Base {
        explicit Object(const Capture<size>& capture) : callable{capture} {}
        uint64_t call(uint64_t x) override { return callable(x); }
        Callable<kind, size> callable;
    };

    std::vector<Base*> objects_;
};

}  // namespace bench
