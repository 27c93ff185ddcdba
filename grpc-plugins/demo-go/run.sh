#!/bin/sh
# Serves the plugin: for the node that runs this program, or on the address in the argument.
exec "$(dirname "$0")/plugin" "$@"
