#!/usr/bin/env bash
# Prints lines as they are after Tab: tab.sh COMPLETIONS LINE...
# shellcheck source=/dev/null
source "$1"
shift

complete_line() {
  local -a COMP_WORDS
  read -ra COMP_WORDS <<<"$1"
  local COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) function
  local -a COMPREPLY=()
  function=$(complete -p "${COMP_WORDS[0]}")
  function="${function##*-F }"
  "${function%% *}"
  if [ "${#COMPREPLY[@]}" -eq 1 ]; then COMP_WORDS[COMP_CWORD]="${COMPREPLY[0]}"; fi
  printf '%s\n' "${COMP_WORDS[*]}"
}

for line in "$@"; do complete_line "$line"; done
