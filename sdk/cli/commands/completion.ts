import { Argument, type Command } from 'commander'

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for your shell')
    .description('Prints a script that completes commands and options.')
    .addArgument(new Argument('<shell>', 'which one').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
Examples:
  croft completion bash > ~/.local/share/bash-completion/completions/croft
  croft completion zsh > "\${fpath[1]}/_croft"
  croft completion fish > ~/.config/fish/completions/croft.fish`,
    )
    .action((shell: keyof typeof SCRIPTS) => {
      process.stdout.write(SCRIPTS[shell](wordsOf(program)))
    })
}

interface CommandWords {
  readonly name: string
  readonly summary: string
  readonly options: readonly string[]
  /** Of a command that has commands of its own. */
  readonly below: readonly string[]
}

function wordsOf(program: Command): CommandWords[] {
  return program.commands.map((command) => ({
    name: command.name(),
    summary: command.summary(),
    options: [...new Set([command, ...command.commands].flatMap(longOptions)), '--help'],
    below: command.commands.map((each) => each.name()),
  }))
}

function longOptions(command: Command): string[] {
  return command.options.flatMap(({ long }) => (long == null ? [] : [long]))
}

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript }

function bashScript(commands: readonly CommandWords[]): string {
  const cases = commands.map(
    ({ name, options, below }) => `    ${name}) words='${options.join(' ')}' below='${below.join(' ')}' ;;`,
  )
  return `_croft() {
  local word=\${COMP_WORDS[COMP_CWORD]} words='' below=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')}' -- "$word"))
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join('\n')}
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) if [ "$COMP_CWORD" -eq 2 ] && [ -n "$below" ]; then COMPREPLY=($(compgen -W "$below" -- "$word")); return; fi
       COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _croft croft
`
}

function zshScript(commands: readonly CommandWords[]): string {
  const names = commands.map(({ name, summary }) => `    '${name}:${summary.replaceAll("'", '')}'`)
  const cases = commands.map(
    ({ name, options, below }) => `    ${name}) options=(${options.join(' ')}) below=(${below.join(' ')}) ;;`,
  )
  return `#compdef croft
_croft() {
  local -a commands options below
  commands=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
${cases.join('\n')}
  esac
  if [[ $words[CURRENT] == -* ]]; then
    compadd -- $options
  elif (( CURRENT == 3 && $#below )); then
    compadd -- $below
  else
    _files
  fi
}
compdef _croft croft
`
}

function fishScript(commands: readonly CommandWords[]): string {
  const lines = commands.flatMap(({ name, summary, options, below }) => [
    `complete -c croft -n __fish_use_subcommand -f -a ${name} -d '${summary.replaceAll("'", '')}'`,
    ...below.map((each) => `complete -c croft -n '__fish_seen_subcommand_from ${name}' -f -a ${each}`),
    ...options.map((option) => `complete -c croft -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`),
  ])
  return `${lines.join('\n')}\n`
}
