// SPDX-License-Identifier: BSL-1.0
#pragma once
// The queue that one writes by hand: a mutex, and a vector of 24-byte records that the consumer
// swaps with an empty one. Both vectors keep their memory. Who finds the vector empty has to wake
// the consumer. Every contender whose library wakes a loop but carries no closures uses it, one for
// all producers; raw-lanes has one for each.

#include <cstring>
#include <mutex>
#include <type_traits>
#include <vector>

namespace bench {

class MutexQueue {
public:
    /// True: it was empty, wake the consumer.
    template <class F>
    bool push(const F& closure) {
        static_assert(sizeof(F) == sizeof(Record::closure) && std::is_trivially_copyable_v<F>);
        Record record{[](const Record& from) { (*as<F>(from.closure))(); }, {}};
        std::memcpy(record.closure, &closure, sizeof closure);
        const std::lock_guard<std::mutex> lock(mutex_);
        const bool was_empty = in_.empty();
        in_.push_back(record);
        return was_empty;
    }

    bool empty() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return in_.empty();
    }

    /// Runs what is there now. False: there was nothing.
    bool run() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            in_.swap(out_);
        }
        const bool any = !out_.empty();
        for (const Record& record : out_) record.call(record);
        out_.clear();
        return any;
    }

private:
    struct Record {
        void (*call)(const Record&);
        alignas(8) unsigned char closure[16];
    };
    static_assert(sizeof(Record) == 24);

    template <class F>
    static const F* as(const unsigned char* bytes) {
        return reinterpret_cast<const F*>(bytes);
    }

    std::mutex mutex_;
    std::vector<Record> in_;
    alignas(64) std::vector<Record> out_;  // the consumer's
};

}  // namespace bench
