// Which bytes are in use in which steps: memory planning asks it for the lowest free offset.
#pragma once

#include <boost/icl/interval_set.hpp>
#include <cstddef>
#include <functional>
#include <vector>

namespace weft {

/// What is taken is a rectangle: some steps by some bytes. A segment tree over the steps keeps, for
/// each of its ranges of steps, the bytes that are taken throughout it and those that are taken
/// anywhere in it. Neighbours grow together, so that a search jumps over a stack of buffers at
/// once, and placing all buffers takes n log n steps where comparing them takes n squared.
class Space {
 public:
  explicit Space(std::size_t steps);
  /// The lowest offset at which so many bytes are free in all steps first .. last. Takes them.
  /// No bytes lie at 0.
  std::size_t take(std::size_t first, std::size_t last, std::size_t bytes);

 private:
  using Interval = boost::icl::right_open_interval<std::size_t>;
  using Bytes = boost::icl::interval_set<std::size_t, std::less, Interval>;
  struct Range {
    Bytes throughout, anywhere;
  };
  struct Steps {
    std::size_t first, last;
    bool covers(const Steps& other) const { return first <= other.first && other.last <= last; }
    bool touches(const Steps& other) const { return first <= other.last && other.first <= last; }
  };

  template <class Visit>
  void visit(std::size_t node, const Steps& own, const Steps& wanted, Visit&& f);

  std::size_t leaves_;
  std::vector<Range> ranges_;  // the root is 1, the halves of i are 2i and 2i + 1
};

}  // namespace weft
