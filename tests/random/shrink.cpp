#include <algorithm>
#include <exception>
#include <set>

#include "tests/random/program.hpp"

namespace weft::random_test {
namespace {

std::size_t output_count(const Call& call) {
  return call.kind->text(std::vector<std::string>(call.inputs.size()), call.numbers).size();
}

/// Without the calls and sources that no output needs.
Program pruned(const Program& program) {
  std::set<ValueId> needed(program.outputs.begin(), program.outputs.end());
  std::vector<bool> keep(program.calls.size());
  std::vector<ValueId> first(program.calls.size());
  ValueId next = first_result;
  for (std::size_t c = 0; c < program.calls.size(); ++c) {
    first[c] = next;
    next += output_count(program.calls[c]);
  }
  for (std::size_t c = program.calls.size(); c-- > 0;) {
    for (std::size_t o = 0; o < output_count(program.calls[c]); ++o) {
      keep[c] = keep[c] || needed.contains(first[c] + o);
    }
    if (keep[c]) needed.insert(program.calls[c].inputs.begin(), program.calls[c].inputs.end());
  }
  Program result = program;
  result.sources.clear();
  result.calls.clear();
  std::unordered_map<ValueId, ValueId> moved;
  for (std::size_t i = 0; i < program.sources.size(); ++i) {
    if (!needed.contains(i)) continue;
    moved[i] = result.sources.size();
    result.sources.push_back(program.sources[i]);
  }
  next = first_result;
  for (std::size_t c = 0; c < program.calls.size(); ++c) {
    if (!keep[c]) continue;
    for (std::size_t o = 0; o < output_count(program.calls[c]); ++o) moved[first[c] + o] = next++;
    Call call = program.calls[c];
    for (ValueId& input : call.inputs) input = moved.at(input);
    result.calls.push_back(std::move(call));
  }
  for (ValueId& output : result.outputs) output = moved.at(output);
  return result;
}

/// The value replaced by a new source of its type.
Program replaced(const Program& program, std::size_t c) {
  Graph graph;
  Program all = program;
  all.order = 0;
  all.updates = false;
  ValueId first = first_result;
  for (std::size_t i = 0; i < c; ++i) first += output_count(program.calls[i]);
  const std::size_t count = output_count(program.calls[c]);
  all.outputs.clear();
  for (std::size_t o = 0; o < count; ++o) all.outputs.push_back(first + o);
  const auto values = build(all, graph, whole(program)).outputs;
  std::vector<bool> rows;  // by result: has it rows?
  for (const Call& each : program.calls) {
    bool any = false;
    for (const ValueId id : each.inputs) {
      any = any || (id < first_result ? program.sources[id].has_rows : rows[id - first_result]);
    }
    for (std::size_t o = 0; o < output_count(each); ++o)
      rows.push_back(each.kind->output_has_rows(any, program.rows > 0));
  }
  const bool has_rows = rows[first - first_result];
  Program result = program;
  for (std::size_t o = 0; o < count; ++o) {
    const ValueId source = result.sources.size();
    result.sources.push_back(
        {.kind = has_rows || program.rows == 0 ? Source::Kind::input : Source::Kind::variable,
         .type = values[o].type(),
         .has_rows = has_rows,
         .count = 1,
         .seed = o + 1});
    for (Call& user : result.calls) {
      std::replace(user.inputs.begin(), user.inputs.end(), first + o, source);
    }
    std::replace(result.outputs.begin(), result.outputs.end(), first + o, source);
  }
  return pruned(result);
}

/// One size everywhere it occurs made another: a kernel's channels stay those of its image.
Program resized(const Program& program, std::int64_t from, std::int64_t to) {
  Program result = program;
  for (Source& source : result.sources) {
    for (std::size_t i = source.has_rows ? 1 : 0; i < source.type.shape.rank(); ++i) {
      const int axis = static_cast<int>(i);
      if (source.type.shape[axis] == from) source.type.shape = source.type.shape.with(axis, to);
    }
  }
  for (Call& call : result.calls) std::replace(call.numbers.begin(), call.numbers.end(), from, to);
  return result;
}

std::vector<Program> smaller(const Program& program) {
  std::vector<Program> list;
  const auto add = [&](auto change) {
    Program next = program;
    change(next);
    list.push_back(std::move(next));
  };
  if (program.order > 0) add([](Program& p) { p.order = 0, p.updates = false; });
  if (program.order > 1) add([](Program& p) { p.order = 1; });
  if (program.updates) add([](Program& p) { p.updates = false; });
  for (std::size_t o = 0; program.outputs.size() > 1 && o < program.outputs.size(); ++o) {
    Program next = program;
    next.outputs = {program.outputs[o]};
    list.push_back(pruned(next));
  }
  for (std::size_t o = 0; program.outputs.size() > 1 && o < program.outputs.size(); ++o) {
    Program next = program;
    next.outputs.erase(next.outputs.begin() + static_cast<std::ptrdiff_t>(o));
    list.push_back(pruned(next));
  }
  for (std::size_t c = 0; c < program.calls.size(); ++c) {
    // The call's result becomes what it reads, or a source.
    Program next = program;
    ValueId first = first_result;
    for (std::size_t i = 0; i < c; ++i) first += output_count(program.calls[i]);
    if (!program.calls[c].inputs.empty()) {
      const ValueId input = program.calls[c].inputs[0];
      for (Call& call : next.calls) {
        std::replace(call.inputs.begin(), call.inputs.end(), first, input);
      }
      std::replace(next.outputs.begin(), next.outputs.end(), first, input);
      list.push_back(pruned(next));
    }
    try {
      list.push_back(replaced(program, c));
    } catch (const Error&) {
    }
  }
  if (program.replicas > 1) add([](Program& p) { p.replicas = 1; });
  if (program.threads > 1) add([](Program& p) { p.threads = 1; });
  if (program.rows > static_cast<std::int64_t>(program.replicas)) {
    for (const std::int64_t rows :
         {static_cast<std::int64_t>(program.replicas), program.rows - 1}) {
      Program next = program;
      next.rows = rows;
      for (Source& source : next.sources) {
        if (source.has_rows) source.type.shape = source.type.shape.with(0, rows);
      }
      list.push_back(std::move(next));
    }
  }
  std::set<std::int64_t> sizes;
  for (const Source& source : program.sources) {
    sizes.insert(source.type.shape.begin(), source.type.shape.end());
  }
  for (const std::int64_t size : sizes) {
    for (const std::int64_t to : {size / 4, size / 2, size - 1}) {
      if (to >= 1 && to < size) list.push_back(resized(program, size, to));
    }
  }
  for (std::size_t c = 0; c < program.calls.size(); ++c) {
    for (std::size_t i = 0; i < program.calls[c].numbers.size(); ++i) {
      for (const std::int64_t to :
           {std::int64_t{0}, std::int64_t{1}, program.calls[c].numbers[i] - 1}) {
        if (to < 0 || to >= program.calls[c].numbers[i]) continue;
        Program next = program;
        next.calls[c].numbers[i] = to;
        list.push_back(std::move(next));
      }
    }
  }
  return list;
}

}  // namespace

Program shrink(Program program, const std::function<bool(const Program&)>& fails) {
  int tries = 0;
  for (bool changed = true; changed && tries < 2000;) {
    changed = false;
    for (Program& next : smaller(program)) {
      if (++tries >= 2000) break;
      try {
        Graph graph;
        build(next, graph, whole(next));
        if (!fails(next)) continue;
      } catch (const std::exception&) {
        continue;  // it is no program any more
      }
      program = std::move(next);
      changed = true;
      break;
    }
  }
  return program;
}

}  // namespace weft::random_test
