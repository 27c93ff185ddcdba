#!/bin/sh
# Serves the plugin: for the node that runs this program, or on the address in the argument.
folder=$(dirname "$0")
exec "$folder/.venv/bin/python" "$folder/plugin.py" "$@"
