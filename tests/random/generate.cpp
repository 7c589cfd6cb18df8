#include <algorithm>
#include <cmath>

#include "graph/evaluate.hpp"
#include "graph/print.hpp"
#include "tests/random/program.hpp"

namespace weft::random_test {

Tensor numbers_of(const Source& source) {
  Random random(source.seed);
  Tensor tensor(source.type);
  if (source.type.dtype == DType::s32) {
    for (std::int32_t& number : tensor.data<std::int32_t>()) {
      number =
          static_cast<std::int32_t>(random.between(0, std::max<std::int64_t>(source.count, 1) - 1));
    }
    return tensor;
  }
  for (float& number : tensor.data<float>()) {
    const double size = source.range == Range::positive ? 0.5 + 1.5 * random.fraction()
                                                        : 0.25 + 1.25 * random.fraction();
    number =
        static_cast<float>(source.range != Range::positive && random.chance(0.5) ? -size : size);
  }
  return tensor;
}

Generator::Generator(std::uint64_t seed, bool with_batch) : random(seed) {
  if (with_batch) program_.rows = random.between(1, 9);
}

std::int64_t Generator::size() {
  static const std::vector<std::int64_t> sizes{1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9};
  return random.of(sizes);
}

std::int64_t Generator::channels() {
  static const std::vector<std::int64_t> sizes{1, 2, 3, 4, 5, 7, 8, 8, 12, 15, 16, 16, 17, 24, 32};
  return random.of(sizes);
}

std::optional<ValueId> Generator::pick(const std::function<bool(const Known&)>& f) {
  std::vector<ValueId> suitable;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (f(sources_[i])) suitable.push_back(i);
  }
  for (std::size_t i = 0; i < results_.size(); ++i) {
    if (f(results_[i])) suitable.push_back(first_result + i);
  }
  if (suitable.empty()) return std::nullopt;
  return random.chance(0.6) ? suitable.back() : random.of(suitable);
}

ValueId Generator::source(const Type& type, bool has_rows, Range range, std::int64_t count) {
  Source source{.type = type, .has_rows = has_rows, .range = range, .count = count};
  source.seed = static_cast<std::uint64_t>(random.between(0, 1 << 20));
  if (!has_rows) {
    source.kind = random.chance(0.5)   ? Source::Kind::variable
                  : random.chance(0.3) ? Source::Kind::constant
                                       : Source::Kind::input;
    // Where a batch is cut, an input is cut too, unless it is a scalar.
    if (with_batch() && source.kind == Source::Kind::input && type.shape.rank() > 0) {
      source.kind = Source::Kind::variable;
    }
  }
  const ValueId id = program_.sources.size();
  program_.sources.push_back(source);
  sources_.push_back({type, has_rows});
  feeds_.emplace(source_name(id), to_array(numbers_of(source)));
  return id;
}

bool Generator::append(Call call) {
  constexpr std::int64_t most_elements = 20'000;
  constexpr double largest = 1e3;
  Program attempt = program_;
  attempt.calls.push_back(std::move(call));
  attempt.outputs.clear();
  attempt.order = 0;
  const Call& last = attempt.calls.back();
  const std::vector<std::string> no_text(last.inputs.size());
  for (std::size_t i = 0; i < last.kind->text(no_text, last.numbers).size(); ++i) {
    attempt.outputs.push_back(first_result + results_.size() + i);
  }
  Graph graph;
  std::vector<Value> values;
  try {
    values = build(attempt, graph, whole(attempt)).outputs;
  } catch (const Error&) {
    return false;
  }
  for (const Value& value : values) {
    if (value.shape().elements() > most_elements) return false;
  }
  for (const Array& array : evaluate(values, feeds_)) {
    for (const double number : array.data) {
      if (!(std::abs(number) <= largest)) return false;
    }
  }
  bool has_rows = false;
  for (const ValueId input : last.inputs) has_rows = has_rows || (*this)[input].has_rows;
  has_rows = last.kind->output_has_rows(has_rows, with_batch());
  for (const Value& value : values) results_.push_back({value.type(), has_rows});
  program_ = std::move(attempt);
  return true;
}

Program Generator::make() {
  const std::int64_t batch = with_batch() ? rows() : random.chance(0.05) ? 0 : random.between(1, 4);
  const bool images = random.chance(0.7);
  const Shape start = images ? Shape{batch, size(), size(), channels()} : Shape{batch, channels()};
  source({DType::f32, start}, with_batch());
  const auto length = static_cast<std::size_t>(random.between(1, 12));
  double total = 0;
  for (const Kind& kind : kinds()) total += kind.weight;
  for (int tries = 0; program_.calls.size() < length && tries < 200; ++tries) {
    double at = random.fraction() * total;
    const Kind* kind = &kinds().back();
    for (const Kind& each : kinds()) {
      if ((at -= each.weight) < 0) {
        kind = &each;
        break;
      }
    }
    Call call{.kind = kind};
    const Program before = program_;
    const std::vector<Known> sources_before = sources_;
    if (kind->propose(*this, call) && append(std::move(call))) continue;
    program_ = before;  // and the sources that the proposal added
    sources_ = sources_before;
    for (std::size_t i = program_.sources.size(); feeds_.erase(source_name(i)) > 0; ++i) {
    }
  }
  // The last value, those that nobody reads, and perhaps one more.
  program_.outputs.clear();
  std::vector<bool> read(results_.size());
  for (const Call& call : program_.calls) {
    for (const ValueId input : call.inputs) {
      if (input >= first_result) read[input - first_result] = true;
    }
  }
  for (std::size_t i = 0; i < results_.size(); ++i) {
    if (!read[i] || random.chance(0.1)) program_.outputs.push_back(first_result + i);
  }
  if (program_.outputs.empty()) program_.outputs.push_back(0);
  if (with_batch()) {
    program_.replicas =
        static_cast<std::size_t>(random.between(1, std::min<std::int64_t>(3, rows())));
  }
  program_.threads = static_cast<int>(random.between(1, 2));
  program_.order = random.chance(0.3) ? 0 : random.chance(0.8) ? 1 : 2;
  program_.updates = program_.order == 1 && random.chance(0.5);
  try {
    Graph graph;
    build(program_, graph, whole(program_));
  } catch (const GradientError&) {  // through an argmax, say
    program_.order = 0;
    program_.updates = false;
  }
  return std::move(program_);
}

}  // namespace weft::random_test
