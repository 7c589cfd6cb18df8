// Random networks of layers: prediction, and one step of training, against the reference evaluation.
#pragma once

#include <cstdint>
#include <string>

namespace weft::random_test {

/// What is wrong with the network of that seed, and C++ that builds it, or one made as small as it
/// still fails; empty if nothing is.
std::string check_network(std::uint64_t seed, bool shrinks);

}  // namespace weft::random_test
