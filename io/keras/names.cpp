#include "io/keras/names.hpp"

#include <algorithm>

namespace weft::keras {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// Whether a byte continues a character of UTF-8.
bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::string file_name(std::string_view name) {
  constexpr std::string_view also = "_.\\>-";
  std::string result;
  for (const char c : name) {
    if (is_letter_or_digit(c) || also.find(c) != also.npos) {
      result += c;
    } else if (!continues(c)) {
      result += '_';
    }
  }
  // A path of dots is a folder, and no name.
  const bool is_dots = result.find_first_not_of('.') == result.npos;
  const bool begins = !result.empty() && (is_letter_or_digit(result[0]) || result[0] == '.');
  return begins && !is_dots ? result : "layer" + result;
}

nn::Network with_file_names(nn::Network network) {
  nn::UniqueNames names;
  names.take("top_level_model_weights");
  // What needs no change comes first, so that it keeps its name.
  const auto keep = [&](std::string& name) { return file_name(name) == name && names.take(name); };
  std::vector<std::string*> others;
  for (nn::Network::Input& input : network.inputs) {
    if (!keep(input.name)) others.push_back(&input.name);
  }
  for (nn::Network::Member& member : network.layers) {
    if (!keep(member.name)) others.push_back(&member.name);
  }
  for (std::string* name : others) *name = names.make(file_name(*name));
  return network;
}

std::string file_type(const std::string& type, const nn::Network& network) {
  if (type != "Sequential" || network.inputs.size() != 1 || network.outputs.size() != 1 ||
      network.calls.size() != network.layers.size()) {
    return "Functional";
  }
  std::size_t last = 0;
  for (std::size_t i = 0; i < network.calls.size(); ++i) {
    const nn::Network::Call& call = network.calls[i];
    if (call.layer != i || call.inputs.size() != 1 || call.inputs[0].from != last) {
      return "Functional";
    }
    last = network.inputs.size() + i;
  }
  return network.outputs[0].from == last ? "Sequential" : "Functional";
}

}  // namespace weft::keras
