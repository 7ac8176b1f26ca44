// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/text.hpp>

#include <limits.h>

#include <string>

#include "support/catch.hpp"

using rondo::Text;

namespace {

std::string lowered(std::string_view sentence, size_t at = 0) {
    Text<64> text(sentence);
    text.lower_first(at);
    return text.c_str();
}

}  // namespace

TEST_CASE("a text is built piece by piece", "[text]") {
    Text<64> text("fd ");
    text.append(7).append(',').append(' ').append("port ").append(8080LL);
    CHECK(text == "fd 7, port 8080");
    CHECK(text.size() == 15);
    CHECK(std::string(text.c_str()) == "fd 7, port 8080");
}

TEST_CASE("what doesn't fit a text is cut off, and the end is terminated", "[text]") {
    Text<8> text;
    CHECK(text.empty());
    text.append("1234567");
    CHECK(text == "1234567");
    text.append("8").append('9').append(10);
    CHECK(text == "1234567");
    CHECK(text.c_str()[7] == '\0');
    CHECK(Text<8>("123456789") == "1234567");
    CHECK(Text<1>("x").empty());
}

TEST_CASE("numbers print from the least to the greatest", "[text]") {
    CHECK(Text<32>().append(0) == "0");
    CHECK(Text<32>().append(INT_MIN) == std::to_string(INT_MIN));
    CHECK(Text<32>().append(LLONG_MIN) == std::to_string(LLONG_MIN));
    CHECK(Text<32>().append(LLONG_MAX) == std::to_string(LLONG_MAX));
    CHECK(Text<32>().append_unsigned(ULLONG_MAX) == std::to_string(ULLONG_MAX));
    CHECK(Text<32>().append_unsigned(0xbeef, 16) == "beef");
    CHECK(Text<72>().append_unsigned(ULLONG_MAX, 2).size() == 64);
}

TEST_CASE("a text can hold a NUL and be appended to itself", "[text]") {
    Text<16> text(std::string_view("a\0b", 3));
    CHECK(text.size() == 3);
    text.append(text.view());
    CHECK(text.view() == std::string_view("a\0ba\0b", 6));
}

TEST_CASE("texts of all lengths compare with each other", "[text]") {
    CHECK(Text<16>("same") == Text<16>("same"));
    CHECK(Text<16>("same") == Text<8>("same"));
    CHECK(Text<16>("same") != Text<16>("other"));
    CHECK("same" == Text<16>("same"));
}

TEST_CASE("a capitalised word becomes part of a sentence, an acronym stays", "[text]") {
    CHECK(lowered("Permission denied") == "permission denied");
    CHECK(lowered("A word") == "a word");
    CHECK(lowered("RPC version wrong") == "RPC version wrong");
    CHECK(lowered("I/O error") == "I/O error");
    CHECK(lowered("open: No such file", 6) == "open: no such file");
    CHECK(lowered("already lower") == "already lower");
    CHECK(lowered("X") == "X");
    CHECK(lowered("") == "");
    CHECK(lowered("End", 3) == "End");
}
