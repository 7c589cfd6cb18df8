#include "autodiff/higher.hpp"

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/concat.hpp"
#include "ops/reshape.hpp"

namespace weft {

std::vector<Value> jvp(const std::vector<Value>& ys, const std::vector<Value>& wrt,
                       const std::vector<Value>& tangents) {
  if (wrt.size() != tangents.size()) {
    fail("jvp: {} wrt need as many tangents, {} were given", wrt.size(), tangents.size());
  }
  // The vjp is linear in the seeds, so any numbers will do for them: only its derivative counts.
  std::vector<Value> seeds;
  for (const Value& y : ys) seeds.push_back(zeros_like(y));
  return gradients(gradients(ys, wrt, seeds), seeds, tangents);
}

std::vector<Value> hvp(Value y, const std::vector<Value>& wrt, const std::vector<Value>& vectors) {
  // The Hessian is symmetric: rows times vector is vector times rows.
  return gradients(gradients(y, wrt), wrt, vectors);
}

Value jacobian(Value y, Value wrt) {
  const std::int64_t rows = y.shape().elements();
  if (rows == 0) fail<ShapeError>("jacobian: y is {}, which has no elements", y.type());
  std::vector<std::int64_t> sizes(y.shape().begin(), y.shape().end());
  sizes.insert(sizes.end(), wrt.shape().begin(), wrt.shape().end());
  const Shape shape{std::span<const std::int64_t>(sizes)};

  Graph& graph = Graph::of(y);
  std::vector<Value> parts;
  for (std::int64_t row = 0; row < rows; ++row) {
    Array seed(y.shape());
    seed.data[static_cast<std::size_t>(row)] = 1;
    const Value part =
        gradients(std::vector<Value>{y}, {wrt}, {graph.constant(to_tensor(seed, y.dtype()))})[0];
    parts.push_back(reshape(part, {1, wrt.shape().elements()}));
  }
  return reshape(concat(parts, 0), shape);
}

}  // namespace weft
