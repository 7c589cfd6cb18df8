// Random networks of layers: prediction, and one step of training, against the reference evaluation.
#pragma once

#include <cstdint>
#include <string>

namespace weft::random_test {

/// Checks the network of a seed. Returns the first difference and C++ that builds the network, or an
/// empty string.
///   shrinks  drops layers for as long as the network still fails
std::string check_network(std::uint64_t seed, bool shrinks);

}  // namespace weft::random_test
