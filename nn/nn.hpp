// All of weft::nn, for users.
#pragma once

#include "nn/activations.hpp"
#include "nn/callbacks.hpp"
#include "nn/dataset.hpp"
#include "nn/history.hpp"
#include "nn/initializers.hpp"
#include "nn/layer.hpp"
#include "nn/layers.hpp"
#include "nn/losses.hpp"
#include "nn/merging.hpp"
#include "nn/metrics.hpp"
#include "nn/model.hpp"
#include "nn/network.hpp"
#include "nn/optimizers.hpp"
#include "nn/progress.hpp"
#include "nn/sequential.hpp"
#include "nn/symbol.hpp"
