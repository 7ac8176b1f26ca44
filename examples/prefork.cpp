// SPDX-License-Identifier: BSL-1.0
// A server of several processes. Try it: prefork --port 7000 --processes 4, then, again and again:
// nc 127.0.0.1 7000; and kill -9 one of them.
#include "examples/prefork.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--port N] [--processes N]");
    const auto at = options.port();
    const size_t processes = options.count("--processes", 2);
    options.done();
    const auto listener = rondo::PosixSockets::listen_on(at, {});
    if (!listener) return example::report(listener.error());
    const auto parent = rondo::PosixSockets::pipe();
    if (!parent) return example::report(parent.error());
    const example::Heritage heritage{*listener, *parent};
    std::vector<pid_t> children;
    while (children.size() < processes) {
        children.push_back(fork());
        if (children.back() == 0) std::_Exit(heritage.serve());
    }
    return example::with_loop_on<rondo::DefaultPoller>([&](auto& loop) {
        example::Parent family(loop, heritage, children);
        loop.defer([&] {
            const auto local = rondo::PosixSockets::local(heritage.listener).value();
            example::say("listening on %s\n", local.text().c_str());
        });
        return example::run_until_signal(loop, [&] { family.stop(); });
    });
}
