// SPDX-License-Identifier: BSL-1.0
// A fuzzer without libFuzzer: runs every file of a corpus, and then as many inputs as it is told,
// made of random bytes, the same each time.
//
// fuzz_NAME CORPUS COUNT
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include <rondo/sim/random.hpp>

#include "fuzz/input.hpp"

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
        std::ifstream file(entry.path(), std::ios::binary);
        const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
        LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
        ++files;
    }
    rondo::sim::Random random(1);
    const auto count = std::strtoull(argv[2], nullptr, 10);
    for (unsigned long long i = 0; i < count; ++i) {
        std::vector<uint8_t> bytes(random.below(400));
        // Small numbers more often than others: they are the operations.
        const uint64_t most = 1 + random.below(255);
        for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.below(most + 1));
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("%zu files and %llu random inputs\n", files, count);
    return files == 0 ? 1 : 0;
}
