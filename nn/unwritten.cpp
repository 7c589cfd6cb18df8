#include "nn/unwritten.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <system_error>

#include "graph/error.hpp"
#include "nn/model.hpp"

namespace weft::nn {
namespace {

void note(Model& model, const std::string& by, const std::string& file, const char* why) {
  std::vector<Unwritten>& all = model.unwritten;
  if (std::ranges::find(all, by, &Unwritten::by) == all.end()) {
    std::cerr << fmt::format("\n{}: training goes on, but \"{}\" was not written: {}\n", by, file,
                             why);
  }
  const auto known = std::ranges::find_if(
      all, [&](const Unwritten& one) { return one.by == by && one.file == file; });
  if (known == all.end()) {
    all.push_back({by, file, why});
  } else {
    known->later = false;
  }
}

}  // namespace

bool try_to_write(Model& model, const std::string& by, const std::string& file,
                  const std::function<void()>& write, bool is_whole) {
  try {
    write();
  } catch (const IoError& error) {
    note(model, by, file, error.what());
    return false;
  } catch (const std::system_error& error) {
    note(model, by, file, error.what());
    return false;
  }
  for (Unwritten& one : model.unwritten) {
    if (is_whole && one.by == by && one.file == file) one.later = true;
  }
  return true;
}

}  // namespace weft::nn
