/** Completion scripts: each asks `postern __complete WORDS…`, so that the table and the server's names answer. */
export type Shell = 'bash' | 'zsh' | 'fish';

export function completionScript(shell: Shell): string {
  return SCRIPTS[shell];
}

/**
 * `__complete` gets the words after the program up to the cursor, the last one unfinished. It answers one candidate a
 * line; the line `:files` asks the shell for file names instead.
 */
const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# bash completion for postern
_postern() {
  local cur=\${COMP_WORDS[COMP_CWORD]} line
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
    else
      COMPREPLY+=("$line")
    fi
  done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _postern postern ./postern
`,
  zsh: `#compdef postern
_postern() {
  local -a candidates
  candidates=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ \${candidates[1]} == :files ]]; then
    _files
  else
    compadd -Q -- \${candidates}
  fi
}
if [[ \${funcstack[1]} == _postern ]]; then _postern "$@"; else compdef _postern postern; fi
`,
  fish: `# fish completion for postern
function __postern_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)
    if test "$line" = :files
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c postern -f -a '(__postern_complete)'
`,
};
