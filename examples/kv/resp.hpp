// SPDX-License-Identifier: BSL-1.0
#pragma once
// Redis' protocol, version 2: reads commands as views into the bytes that have come, and writes the
// replies of a batch behind each other. A command that isn't all there is not looked at again
// before enough has come that it could be: a large one in small pieces isn't parsed over and over.

#include <algorithm>
#include <charconv>
#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace example::kv {

/// Thrown for what is wrong with a command. The text begins with its code.
struct Refused {
    std::string why;
};
[[noreturn]] inline void refuse(std::string_view begin, std::string_view word = "",
                                std::string_view end = "") {
    throw Refused{std::string(begin).append(word).append(end)};
}
inline void require(bool fine, const char* otherwise) {
    if (!fine) [[unlikely]]
        refuse(otherwise);
}

using Args = std::vector<std::string_view>;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

constexpr bool same_word(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, lower, lower);
}

/// As Redis reads numbers: no blanks, no plus sign, no leading zeros.
inline long long integer(std::string_view text, const char* otherwise) {
    long long value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    require(code == std::errc() && end == text.data() + text.size(), otherwise);
    require(text == "0" || text[text[0] == '-'] != '0', otherwise);
    return value;
}

class Parser {
public:
    /// Takes the command at the front of `bytes` apart, into args(). Returns how many bytes it has,
    /// 0 if it isn't all there yet. Refuses what nobody understands.
    size_t parse(std::string_view bytes, long long bulk_max, bool trusted) {
        args_.clear();
        begin_ = bytes.data();
        end_ = begin_ + bytes.size();
        const char* const at = *begin_ == '*' ? array(bulk_max, trusted) : words(bytes);
        return at != nullptr ? static_cast<size_t>(at - begin_) : 0;
    }

    const Args& args() const { return args_; }
    size_t needed() const { return needed_; }  // bytes that an unfinished one has at least

private:
    static constexpr size_t line_max = 64 * 1024;

    // Behind the line that is a number, or nullptr if it hasn't come. Nearly all are a few digits.
    const char* number(const char* at, long long& value, const char* big, const char* invalid) {
        const char* end = at;
        for (value = 0; end < end_ && *end >= '0' && *end <= '9' && end - at < 18; ++end) {
            value = value * 10 + (*end - '0');
        }
        if (end_ - end >= 2 && *end == '\r' && end > at && *at != '0') return end + 2;
        const std::string_view line(at, std::find(at, end_, '\r'));
        const bool whole = line.data() + line.size() + 1 < end_;
        require(whole || line.size() < line_max, big);
        if (!whole) return nullptr;
        value = integer(line, invalid);
        return at + line.size() + 2;
    }

    const char* array(long long bulk_max, bool trusted) {
        constexpr const char* wrong_count = "invalid multibulk length";
        constexpr const char* wrong_size = "invalid bulk length";
        constexpr long long least = 6;  // "$0\r\n\r\n"
        long long count = 0, size = 0;
        const char* at = number(begin_ + 1, count, "too big mbulk count string", wrong_count);
        if (at == nullptr) return wait(end_, 1);
        require(count <= 1024 * 1024, wrong_count);
        require(count <= 10 || trusted, "unauthenticated multibulk length");
        for (; count > 0; --count) {
            if (at == end_) return wait(at, count * least);
            if (*at != '$') refuse("expected '$', got '", {at, 1}, "'");
            const char* const text = number(at + 1, size, "too big bulk count string", wrong_size);
            if (text == nullptr) return wait(at, count * least);
            require(size >= 0 && size <= bulk_max, wrong_size);
            require(size <= 16384 || trusted, "unauthenticated bulk length");
            if (size + 2 > end_ - text) return wait(text, size + 2 + (count - 1) * least);
            args_.emplace_back(text, static_cast<size_t>(size));
            at = text + size + 2;
        }
        return at;
    }
    const char* wait(const char* at, long long more) {
        needed_ = static_cast<size_t>(at - begin_ + more);
        return nullptr;
    }

    // Words on one line, which may end in quotes: without them a copy is no longer than the line.
    const char* words(std::string_view line) {
        constexpr std::string_view blanks(" \t\v\f\r\0", 6), ends(" \t\v\f\r\0\"'", 8);
        constexpr std::string_view names = "nrtba", codes = "\n\r\t\b\a";
        const size_t length = line.find('\n');
        require(length != line.npos || line.size() <= line_max, "too big inline request");
        if (length == line.npos) return wait(end_, 1);
        line = line.substr(0, length);
        words_.clear();
        words_.reserve(length);
        for (size_t i = 0; (i = line.find_first_not_of(blanks, i)) != line.npos;) {
            const size_t begin = words_.size(), end = std::min(line.find_first_of(ends, i), length);
            words_.append(line, i, end - i);
            i = end;
            if (i < length && blanks.find(line[i]) == blanks.npos) {
                for (const char quote = line[i++]; i < length && line[i] != quote; ++i) {
                    const bool escaped =
                        line[i] == '\\' && i + 1 < length && (quote == '"' || line[i + 1] == quote);
                    const size_t code = escaped ? names.find(line[++i]) : names.npos;
                    words_ += code != names.npos ? codes[code] : line[i];
                }
                require(i < length && (++i == length || blanks.find(line[i]) != blanks.npos),
                        "unbalanced quotes in request");
            }
            args_.push_back(std::string_view(words_).substr(begin));
        }
        return begin_ + length + 1;
    }

    const char *begin_ = nullptr, *end_ = nullptr;
    size_t needed_ = 0;
    Args args_;
    std::string words_;
};

/// The replies of a batch.
class Reply {
public:
    static constexpr size_t batch = 64 * 1024;  // bytes, after which they are sent

    void ok() { raw("+OK\r\n"); }
    void nil() { raw("$-1\r\n"); }
    void raw(std::string_view reply) { buffer_ += reply; }
    void put(std::integral auto value) { header(':', static_cast<long long>(value)); }
    void array(size_t count) { header('*', static_cast<long long>(count)); }
    void put(std::string_view text) {
        header('$', static_cast<long long>(text.size()));
        raw(text);
        raw("\r\n");
    }
    void put_or_nil(const auto* text) { text != nullptr ? put(*text) : nil(); }
    void put(const Args& texts) {
        array(texts.size());
        for (const auto text : texts) put(text);
    }
    void list(const auto&... each) {
        array(sizeof...(each));
        (put(each), ...);
    }
    void error(std::string text) {  // a line end in it would end the reply
        for (char& c : text) c = c == '\r' || c == '\n' ? ' ' : c;
        raw("-" + text + "\r\n");
    }

    size_t size() const { return buffer_.size(); }
    void cut(size_t size) { buffer_.resize(size); }
    /// Sends all of it. A copy of little; much is handed over.
    void send_by(auto& connection) {
        if (size() < batch)
            connection.send(std::string_view(buffer_));
        else
            connection.send(std::exchange(buffer_, {}));
        buffer_.clear();
    }

private:
    void header(char kind, long long value) {
        char text[24] = {kind};
        char* end = std::to_chars(text + 1, std::end(text) - 2, value).ptr;
        *end++ = '\r';
        *end++ = '\n';
        raw({text, end});
    }

    std::string buffer_;
};

}  // namespace example::kv
