#!/usr/bin/env bash
# Trains the tutorial's network on MNIST: installs what is missing, builds, gets the data, trains.
#   usage: examples/mnist.sh [--fashion] [options of the program: see examples/mnist.sh --help]
exec "$(dirname "$0")/run.sh" mnist "$@"
