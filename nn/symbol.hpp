// Symbol: what stands for a tensor while a functional model is put together. Layers are called on
// symbols, and nn::Model follows them from its outputs back to its inputs:
//
//   auto x = nn::Input({32, 32, 3});
//   auto y = nn::Conv2D(16, 3, {.padding = "same"})(x);
//   y = nn::Add()({y, nn::Conv2D(16, 1)(x)});
//   nn::Model model(x, nn::Flatten()(y));
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "nn/layer.hpp"

namespace weft::nn {

struct SymbolicCall;

/// One output of one call of a layer. Copies are the same symbol. It keeps the calls that it hangs
/// on.
class Symbol {
 public:
  Symbol() = default;  ///< none
  /// An output of a call: what Layer and Input return.
  explicit Symbol(std::shared_ptr<SymbolicCall> call, std::uint32_t port = 0)
      : call_(std::move(call)), port_(port) {}
  explicit operator bool() const noexcept { return call_ != nullptr; }

  Shape shape() const;  ///< without the batch
  DType dtype() const;

  /// How it came to be: the call, and which of its outputs this is.
  const SymbolicCall& call() const noexcept { return *call_; }
  std::uint32_t port() const noexcept { return port_; }
  friend bool operator==(const Symbol&, const Symbol&) = default;

 private:
  friend struct SymbolicCall;

  std::shared_ptr<SymbolicCall> call_;
  std::uint32_t port_ = 0;
};

/// One symbol, or several: {left, right}.
class Symbols {
 public:
  Symbols(const Symbol& one) : symbols_{one} {}
  Symbols(std::initializer_list<Symbol> symbols) : symbols_(symbols) {}
  Symbols(std::vector<Symbol> symbols) : symbols_(std::move(symbols)) {}

  std::size_t size() const noexcept { return symbols_.size(); }
  const Symbol& operator[](std::size_t i) const noexcept { return symbols_[i]; }
  auto begin() const noexcept { return symbols_.begin(); }
  auto end() const noexcept { return symbols_.end(); }
  operator const std::vector<Symbol>&() const noexcept { return symbols_; }

 private:
  std::vector<Symbol> symbols_;
};

/// A layer and what it was called on; nothing for an Input.
struct SymbolicCall {
  Layer layer;
  std::vector<Symbol> inputs;
  std::vector<Type> outputs;  ///< for a batch of one sample
  std::uint64_t order;        ///< grows from call to call

  SymbolicCall(Layer layer, std::vector<Symbol> inputs, std::vector<Type> outputs);
  /// Frees the calls behind it in a loop, however long a chain they are.
  ~SymbolicCall();
  SymbolicCall(const SymbolicCall&) = delete;
  SymbolicCall& operator=(const SymbolicCall&) = delete;
};

/// Makes a struct T of a layer callable on symbols: struct T : Symbolic<T>, and in it
/// `using Symbolic::operator();`. Only where it stands, Dense(8)(x): a layer that is called more
/// than once is one object with one set of weights, which nn::Layer says.
template <class T>
struct Symbolic {
  /// As Layer's.
  Symbol operator()(const Symbols& inputs) && { return Layer(static_cast<T&&>(*this))(inputs); }
  /// A layer with a name of its own is called as an nn::Layer: nn::Layer d = nn::Dense(8); d(x).
  Symbol operator()(const Symbols& inputs) const& = delete;
};

}  // namespace weft::nn
