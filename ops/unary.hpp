// Functions of one number, applied to each element.
#pragma once

#include "graph/value.hpp"

namespace weft {

// x is f32 of any shape; the result has its type. Where a function has a kink, the derivative there
// is the one given in parentheses. NaN gives NaN.

Value neg(Value x);
Value abs(Value x);     ///< |x|  (0 at 0)
Value square(Value x);  ///< x^2
Value sqrt(Value x);    ///< derivative is infinite at 0
Value exp(Value x);
Value log(Value x);                             ///< natural
Value relu(Value x);                            ///< max(x, 0)  (0 at 0)
Value leaky_relu(Value x, float slope = 0.2f);  ///< x for x > 0, else slope x
Value elu(Value x, float alpha = 1.0f);         ///< x for x > 0, else alpha (e^x - 1)
Value sigmoid(Value x);                         ///< 1 / (1 + e^-x)
Value tanh(Value x);
Value softplus(Value x);   ///< log(1 + e^x)
Value swish(Value x);      ///< x sigmoid(x), also called silu
Value gelu(Value x);       ///< x (1 + erf(x / sqrt 2)) / 2
Value gelu_tanh(Value x);  ///< gelu by its tanh approximation
Value clip(Value x, float low,
           float high);     ///< min(max(x, low), high)  (0 outside and at the ends)
Value reciprocal(Value x);  ///< 1 / x
Value erf(Value x);
Value sin(Value x);
Value cos(Value x);
Value sign(Value x);   ///< -1, 0, 1; derivative 0
Value floor(Value x);  ///< derivative 0
Value round(Value x);  ///< to nearest, ties to even; derivative 0

}  // namespace weft
