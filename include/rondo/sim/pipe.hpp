// SPDX-License-Identifier: BSL-1.0
#pragma once
// The ends of a pipe. It is within a host, so what is written is there at once.

#include <errno.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <span>
#include <utility>

#include <rondo/sim/object.hpp>
#include <rondo/sim/stream.hpp>

namespace rondo::inline RONDO_ABI::sim {

/// What both ends share.
struct PipeBuffer {
    std::deque<std::byte> bytes;
    size_t size_max = 0;
    Object* reader = nullptr;
    Object* writer = nullptr;

    size_t room() const { return size_max - std::min(size_max, bytes.size()); }
};

class PipeReader final : public Object {
public:
    explicit PipeReader(std::shared_ptr<PipeBuffer> pipe)
        : Object(Kind::pipe_reader), pipe_(std::move(pipe)) {
        pipe_->reader = this;
    }
    Readiness state() const {
        Readiness state = Readiness::none;
        if (!pipe_->bytes.empty()) state |= Readiness::readable;
        if (pipe_->writer == nullptr) state |= Readiness::hangup;
        return state;
    }
    IoResult read(std::span<std::byte> into) {
        if (pipe_->bytes.empty()) return {0, pipe_->writer == nullptr ? 0 : EAGAIN};
        const bool full = pipe_->room() == 0;
        const size_t count = take(pipe_->bytes, pipe_->bytes.size(), into);
        if (full && pipe_->writer != nullptr) pipe_->writer->changed(Readiness::writable);
        return {count, 0};
    }
    IoResult write(std::span<const std::byte>) { return {0, EBADF}; }
    void close() {
        pipe_->reader = nullptr;
        if (pipe_->writer != nullptr) pipe_->writer->changed(every_readiness);
    }

private:
    std::shared_ptr<PipeBuffer> pipe_;
};

class PipeWriter final : public Object {
public:
    explicit PipeWriter(std::shared_ptr<PipeBuffer> pipe)
        : Object(Kind::pipe_writer), pipe_(std::move(pipe)) {
        pipe_->writer = this;
    }
    Readiness state() const {
        if (pipe_->reader == nullptr) return Readiness::writable | Readiness::error;
        return pipe_->room() > 0 ? Readiness::writable : Readiness::none;
    }
    IoResult read(std::span<std::byte>) { return {0, EBADF}; }
    IoResult write(std::span<const std::byte> bytes) {
        if (pipe_->reader == nullptr) return {0, EPIPE};
        const size_t count = std::min(bytes.size(), pipe_->room());
        if (count == 0 && !bytes.empty()) return {0, EAGAIN};
        const auto end = bytes.begin() + static_cast<std::ptrdiff_t>(count);
        pipe_->bytes.insert(pipe_->bytes.end(), bytes.begin(), end);
        pipe_->reader->changed(Readiness::readable);
        return {count, 0};
    }
    void close() {
        pipe_->writer = nullptr;
        if (pipe_->reader != nullptr) pipe_->reader->changed(every_readiness);
    }
    void set_buffer(size_t bytes) { pipe_->size_max = bytes; }

private:
    std::shared_ptr<PipeBuffer> pipe_;
};

}  // namespace rondo::inline RONDO_ABI::sim
