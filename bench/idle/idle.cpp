// SPDX-License-Identifier: BSL-1.0
// What does it cost to wait? User memory per idle descriptor (an eventfd that is watched for
// reading) and per idle timer (due in an hour), each with a handler that holds one pointer, and
// with the object that the library's user has to keep for it. And time: one descriptor is written
// and handled per turn, while ten thousand others are idle.
//
// Idle connections, with their buffers, are in bench/echo.

#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "bench/harness.hpp"
#include "bench/idle/alarms.hpp"
#include "bench/idle/memory.hpp"
#include "bench/scaling/loops.hpp"
#include "bench/system.hpp"

namespace {

using bench::Memory;

constexpr double most_per_descriptor = 96;

// The loops of bench/scaling on a ring of idle eventfds. One token went round it: each of the
// handlers was called.
class RingSetting {
public:
    explicit RingSetting(size_t count) : ring_(count, 1, count), count_(count) {}

    bench::Ring& work() { return ring_; }
    void launch() { ring_.launch(count_); }
    bool worked() const { return ring_.handled() == count_; }

private:
    bench::Ring ring_;
    size_t count_;
};

class AlarmSetting {
public:
    explicit AlarmSetting(size_t count) : alarms_(count, bench::Alarm{3600, false}) {
        alarms_[0].seconds = 0;
    }

    std::span<bench::Alarm> work() { return alarms_; }
    void launch() {}
    bool worked() const {
        size_t rang = 0;
        for (const bench::Alarm& each : alarms_) rang += each.rang;
        return rang == 1 && alarms_[0].rang;
    }

private:
    std::vector<bench::Alarm> alarms_;
};

// What a hand-written loop keeps per descriptor if not all have the same handler.
class RawRecords {
public:
    explicit RawRecords(bench::Ring& ring) : records_(ring.stations().size()) {
        for (size_t i = 0; i < records_.size(); ++i) {
            bench::Station& station = ring.stations()[i];
            records_[i] = {on_ready, &station};
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.ptr = &records_[i];
            bench::must(::epoll_ctl(set_, EPOLL_CTL_ADD, station.fd, &event), "epoll_ctl");
        }
    }
    RawRecords(const RawRecords&) = delete;
    RawRecords& operator=(const RawRecords&) = delete;
    ~RawRecords() { ::close(set_); }

    void run() {
        for (;;) {
            const int count = bench::must(::epoll_wait(set_, events_, 64, -1), "epoll_wait");
            for (int i = 0; i < count; ++i) {
                const Record& record = *static_cast<const Record*>(events_[i].data.ptr);
                if (!record.call(record.context)) return;
            }
        }
    }

private:
    struct Record {
        bool (*call)(void*);
        void* context;
    };
    static bool on_ready(void* station) { return static_cast<bench::Station*>(station)->pass(); }

    int set_ = bench::must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    std::vector<Record> records_;
    epoll_event events_[64];
};

struct Row {
    const char* contender;
    Memory memory;
    double most = 0;
};

void tell(bench::Report& report, const std::string& params, const std::vector<Row>& rows) {
    for (const Row& each : rows) {
        report.tell(params, each.contender, "allocated each", "bytes", each.memory.allocated,
                    each.most);
    }
    for (const Row& each : rows) {
        report.tell(params, each.contender, "resident each", "bytes", each.memory.resident);
    }
}

void weigh_descriptors(bench::Report& report, size_t count) {
    const std::string params = std::to_string(count) + " idle descriptors";
    if (!report.options().wants(params)) return;
    const auto weigh = [count]<class Loop>(std::type_identity<Loop>) {
        return bench::memory_per_object<Loop, RingSetting>(count);
    };
    std::vector<Row> rows{
        {"raw", weigh(std::type_identity<RawRecords>())},
        {"rondo-epoll", weigh(std::type_identity<bench::OnRondo>()), most_per_descriptor}};
#if RONDO_BENCH_HAS_LIBEV
    rows.push_back({"libev", weigh(std::type_identity<bench::OnLibev>())});
#endif
#if RONDO_BENCH_HAS_LIBEVENT
    rows.push_back({"libevent", weigh(std::type_identity<bench::OnLibevent>())});
#endif
#if RONDO_BENCH_HAS_LIBUV
    rows.push_back({"libuv", weigh(std::type_identity<bench::OnLibuv>())});
#endif
#if RONDO_BENCH_HAS_ASIO
    rows.push_back({"asio", weigh(std::type_identity<bench::OnAsio<bench::AsioForm::wait>>())});
#endif
    tell(report, params, rows);
}

void weigh_timers(bench::Report& report, size_t count) {
    const std::string params = std::to_string(count) + " idle timers";
    if (!report.options().wants(params)) return;
    const auto weigh = [count]<class Loop>(std::type_identity<Loop>) {
        return bench::memory_per_object<Loop, AlarmSetting>(count);
    };
    std::vector<Row> rows{{"raw", weigh(std::type_identity<bench::RawAlarms>())},
                          {"rondo-epoll", weigh(std::type_identity<bench::RondoAlarms>())}};
#if RONDO_BENCH_HAS_LIBEV
    rows.push_back({"libev", weigh(std::type_identity<bench::LibevAlarms>())});
#endif
#if RONDO_BENCH_HAS_LIBEVENT
    rows.push_back({"libevent", weigh(std::type_identity<bench::LibeventAlarms>())});
#endif
#if RONDO_BENCH_HAS_LIBUV
    rows.push_back({"libuv", weigh(std::type_identity<bench::LibuvAlarms>())});
#endif
#if RONDO_BENCH_HAS_ASIO
    rows.push_back({"asio", weigh(std::type_identity<bench::AsioAlarms>())});
#endif
    tell(report, params, rows);
}

void time_turns(bench::Report& report, size_t idle) {
    const std::string params = "turn, " + std::to_string(idle) + " idle descriptors";
    if (!report.options().wants(params)) return;
    const uint64_t turns = report.options().size(40000U, 10000U, 1000U);
    bench::Ring ring(idle + 1, 1, 1);
    report.compare(params, bench::watchers(ring, turns, 0), "time per turn");
}

}  // namespace

int main(int argc, char** argv) {
    const size_t limit = bench::raise_descriptor_limit();
    bench::Report report("idle", bench::Options(argc, argv));
    bench::Processors().pin(0);
    bench::tell_missing(report);
    const size_t count = 10000;
    weigh_timers(report, count);
    if (limit < count + 100) {
        report.not_available(std::to_string(count) + " descriptors", "",
                             "at most " + std::to_string(limit) + " may be open");
    } else {
        weigh_descriptors(report, count);
        time_turns(report, count);
    }
    return report.finish();
}
