// Curves between axes.
#pragma once

#include "io/canvas.hpp"
#include "io/plot.hpp"

namespace weft {

/// Draws axes with whole numbers below, a grid, curves, and a legend where it hides least.
void draw_panel(Canvas& canvas, const Box& box, const Panel& panel);

}  // namespace weft
