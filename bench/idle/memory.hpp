// SPDX-License-Identifier: BSL-1.0
#pragma once
// User memory per object, measured in processes that do nothing else: what a loop with many takes,
// less what one with few takes, by the objects between. Each measurement has a fresh child, whose
// heap nobody has used before. What the kernel keeps for a descriptor isn't in it.
//
// "allocated" is what the heap has handed out, with its own overhead (mallinfo2(3): uordblks, and
// hblkhd for large blocks); "resident" are the pages that were touched for it, RssAnon.

#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "bench/system.hpp"

namespace bench {

struct Memory {
    double allocated = 0;
    double resident = 0;

    friend Memory operator-(Memory a, Memory b) {
        return {a.allocated - b.allocated, a.resident - b.resident};
    }
    friend Memory operator/(Memory a, double n) { return {a.allocated / n, a.resident / n}; }
};

inline Memory memory_now() {
    const struct mallinfo2 heap = ::mallinfo2();
    return {static_cast<double>(heap.uordblks + heap.hblkhd), memory_of(::getpid())};
}

/// What `work` answers in a child process.
template <class Work>
Memory in_child(const Work& work) {
    int ends[2];
    must(::pipe(ends), "pipe");
    std::fflush(nullptr);  // the child must not write it again
    const pid_t child = must(::fork(), "fork");
    if (child == 0) {
        const Memory memory = work();
        const bool told = ::write(ends[1], &memory, sizeof memory) == sizeof memory;
        std::fflush(nullptr);
        ::_exit(told ? 0 : 1);
    }
    ::close(ends[1]);
    Memory memory;
    const bool told = ::read(ends[0], &memory, sizeof memory) == sizeof memory;
    ::close(ends[0]);
    int status = 0;
    must(::waitpid(child, &status, 0), "waitpid");
    if (!told || status != 0) {
        std::fprintf(stderr, "a child that measures memory has failed\n");
        std::exit(1);
    }
    return memory;
}

/// `Objects` is a loop with objects of one kind, made of a `Setting` that holds what they work on
/// and isn't counted. They are used once before they are measured: that shows that they work, and
/// some libraries only then register what they were given.
template <class Objects, class Setting>
Memory memory_of_objects(size_t count) {
    return in_child([count] {
        Setting setting(count);
        const Memory before = memory_now();
        Objects objects(setting.work());
        setting.launch();
        objects.run();
        const Memory after = memory_now();
        if (!setting.worked()) {
            std::fprintf(stderr, "handlers were called that weren't due, or not called\n");
            std::exit(1);
        }
        return after - before;
    });
}

template <class Objects, class Setting>
Memory memory_per_object(size_t many) {
    const size_t few = 16;
    return (memory_of_objects<Objects, Setting>(many) - memory_of_objects<Objects, Setting>(few)) /
           static_cast<double>(many - few);
}

}  // namespace bench
