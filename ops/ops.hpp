// Every op's builder, for users.
#pragma once

#include "ops/binary.hpp"
#include "ops/cast.hpp"
#include "ops/concat.hpp"
#include "ops/control.hpp"
#include "ops/conv2d.hpp"
#include "ops/gather.hpp"
#include "ops/matmul.hpp"
#include "ops/pool2d.hpp"
#include "ops/random.hpp"
#include "ops/reduce.hpp"
#include "ops/reshape.hpp"
#include "ops/select.hpp"
#include "ops/slice.hpp"
#include "ops/softmax.hpp"
#include "ops/transpose.hpp"
#include "ops/unary.hpp"
