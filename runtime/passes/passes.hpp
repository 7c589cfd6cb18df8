// Every pass of the compiler, in the order in which compile.cpp runs them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph.hpp"
#include "runtime/plan.hpp"

namespace weft {

class VariableStore;

// Program -> Program. None of them knows an op by name.

/// Keeps what the outputs need.
Program prune(Program program);
/// Replaces ops that have no `lower` of their own by their decomposition.
Program expand(Program program);
/// Applies each op's own `simplify` until nothing changes.
Program simplify(Program program);
/// Evaluates what depends on constants only, where the result is not larger than its inputs.
Program fold(Program program);
/// Takes a sum over all axes but the last (a bias' gradient) from an op that computes it anyway.
Program share_sums(Program program);
/// Merges equal ops of equal inputs.
Program cse(Program program);
/// Makes one op of what an op and the makers of its inputs do, where they know how: convolution and
/// pooling, which then need no image between them.
Program join(Program program);
/// Makes of the factors and summands per channel behind a convolution one factor and one summand.
Program collect_factors(Program program);
/// Makes factor, bias, activation and residual add part of the op that feeds them.
Program fuse(Program program);
/// Makes connected elementwise ops of one shape one loop.
Program islands(Program program);

/// Program -> Plan: each op picks its layouts and emits its steps.
///   results   how many of the program's outputs the caller wants; behind them come the new values
///             of variables, then the variables themselves, in the same order
///   replicas  how many run the plan side by side, each on its own slice of the inputs
///   choices   what `lower` of the ops may choose from
///   sibling   the plan of replicas whose slices have another number of rows, if this is not the
///             first: it has chosen the layouts of sums over replicas
Plan lower(const Program& program, std::size_t results, VariableStore& variables,
           std::size_t replicas, const Choices& choices, const Plan* sibling = nullptr);

// Plan -> Plan.

/// Puts first what hangs on variables alone, to run only when they have changed.
Plan prologue(Plan plan);

/// For more than one replica: brings the steps into levels between which replicas meet, and cuts
/// the updates of variables among them. Throws CompileError for an update that differs between
/// replicas.
Plan replicate(Plan plan);

/// Gives every buffer of the arena its place: lifetimes, in place where allowed, largest first.
Plan plan_memory(Plan plan);

/// By buffer, the last steps that write and read it.
struct LastSteps {
  explicit LastSteps(const Plan& plan);
  std::vector<std::optional<std::size_t>> writer, reader;
};
/// Can the new value be written where the variable lies: is its writer the variable's last reader,
/// or later than that?
bool may_update_in_place(const Plan& plan, const LastSteps& last, const VariableUpdate& update);

/// Why replicas could not run these two plans side by side; nothing if they can. They are plans of
/// one program for slices of different sizes: they must have the same inputs and results (but for
/// rows), meet as often and for the same sums, and whatever follows from sums and variables alone
/// and leaves the run, an update or a result that all replicas have, must be the same steps, cut
/// alike.
std::optional<std::string> disagreement(const Program& program, const Plan& plan,
                                        const Program& other_program, const Plan& other_plan);

}  // namespace weft
