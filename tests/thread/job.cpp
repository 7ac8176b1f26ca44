// SPDX-License-Identifier: BSL-1.0
#include <rondo/thread/job.hpp>

#include "support/catch.hpp"

using rondo::detail::Job;
using rondo::detail::JobQueue;

TEST_CASE("jobs are taken in the order in which they were put") {
    JobQueue queue;
    Job jobs[3] = {{nullptr, nullptr, nullptr, nullptr},
                   {nullptr, nullptr, nullptr, nullptr},
                   {nullptr, nullptr, nullptr, nullptr}};
    for (Job& job : jobs) queue.put(job);
    CHECK(queue.remove(jobs[1]));
    CHECK_FALSE(queue.remove(jobs[1]));
    CHECK(queue.take() == &jobs[0]);
    CHECK_FALSE(queue.remove(jobs[0]));
    CHECK(queue.take() == &jobs[2]);
}

TEST_CASE("what waits when a queue is stopped is taken by nobody, and can't be removed") {
    JobQueue queue;
    Job job{nullptr, nullptr, nullptr, nullptr};
    queue.put(job);
    queue.stop();
    CHECK(queue.take() == nullptr);
    CHECK_FALSE(queue.remove(job));
    CHECK(queue.stopping());
}
