# Prints lines as they are after Tab: zsh -f tab.zsh COMPLETIONS LINE...
# An interactive shell on a pseudo-terminal gets the keys; its ^X prints what the line has become.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "unset zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; source ${(q)1}"
zpty -w shell 'shown() { print -r -- "[[[$BUFFER]]]"; BUFFER=; }; zle -N shown; bindkey "^X" shown; print READ""Y'
zpty -r shell output '*READY*'
shift
for line; do
  zpty -w -n shell "$line"$'\t\x18'
  zpty -r shell output '*\[\[\[*\]\]\]*'
  output="${output##*\[\[\[}"
  print -r -- "${output%%\]\]\]*}"
done
zpty -d shell
