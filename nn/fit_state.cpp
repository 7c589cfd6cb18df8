#include "nn/fit_state.hpp"

#include "graph/error.hpp"

namespace weft::nn {
namespace {

template <class Map>
const auto& at(const Map& map, const std::string& name) {
  const auto found = map.find(name);
  if (found == map.end()) fail<ArgumentError>("the state of a callback has no \"{}\"", name);
  return found->second;
}

}  // namespace

double CallbackState::number(const std::string& name) const { return at(numbers, name); }

const std::vector<Tensor>& CallbackState::list(const std::string& name) const {
  return at(tensors, name);
}

}  // namespace weft::nn
