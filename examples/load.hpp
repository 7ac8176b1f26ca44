// SPDX-License-Identifier: BSL-1.0
#pragma once
// The connections of `load`. All stay open until the last has its last reply; that stops the loop.
#include <deque>
#include "examples/conversation.hpp"
#include "examples/options.hpp"

namespace example {

template <class Loop>
class Load {
public:
    Load(Loop& loop, const Plan& plan) : loop_(loop), plan_(plan) {
        for (size_t i = 0; i < plan.connections; ++i) all_.emplace_back(loop, plan, script_, i);
        silence_.after(plan.patience, [this] { give_up(); });
        time_.after(plan.time, [this] { finish(); });
        open_more();
    }
    const Tally& tally() const { return tally_; }
    /// Asks nothing more, but for one message on each connection.
    void finish() {
        plan_.messages = 1;
        for (auto& one : all_) proceed(one);
    }

private:
    using One = Conversation<Loop>;
    // Few wait for their first reply at a time, so that the server's queue doesn't overflow.
    void open_more() {
        while (begun_ < all_.size() && opening_ < 256) {
            ++opening_;
            One& one = all_[begun_++];
            if (int code = one.open(plan_.server, [this, &one] { serve(one); })) fail(one, code);
        }
    }

    void serve(One& one) {
        const bool opening = one.answered() == 0;
        const int code = one.receive(tally_.latency);
        if (opening && one.answered() > 0) --opening_, ++tally_.connections;
        silence_.rearm(loop_.now() + plan_.patience);
        code == 0 ? proceed(one) : fail(one, code);
        open_more();
    }

    void proceed(One& one) {
        if (!one.is_open()) return;
        if (const int code = one.send(plan_.messages)) return fail(one, code);
        if (one.answered() >= plan_.messages && !one.waiting()) settle(one);
    }

    void fail(One& one, int code) {
        if (tally_.errors++ == 0) report({code, "connection to", plan_.server.text()});
        if (one.answered() == 0) --opening_;
        one.close();
        settle(one);
    }

    void settle(One& one) {
        if (!std::exchange(one.settled, true) && ++settled_ == all_.size()) loop_.stop();
    }
    void give_up() {
        report({ETIMEDOUT, "reply from", plan_.server.text()});
        tally_.errors += all_.size() - settled_;
        loop_.stop();
    }

    Loop& loop_;
    Plan plan_;
    Tally tally_{loop_.now()};
    Script script_{plan_.echo};
    std::deque<One> all_;
    size_t begun_ = 0, opening_ = 0, settled_ = 0;
    typename Loop::Timer silence_{loop_}, time_{loop_};
};

}  // namespace example
