/** The command line `tfjs-owlore`: its commands, and the options and errors that they have in common. */
import {createRequire} from 'node:module';
import {Command, CommanderError, Option} from 'commander';
import {selectBackend} from './backend';
import type * as cli from './command';
import {readConfigFile, withoutReplaced} from './config_file';
import {chat} from './chat';
import type {OutputStream} from './style';
import {CommandConsole} from './console';
import {estimate} from './estimate';
import {evaluate} from './evaluate';
import {exportModel} from './export';
import {finetune} from './finetune';
import {generate} from './generate';
import {Interruption, StoppedError, stopSignals} from './interruption';
import {withLibraryMessages} from './library_messages';
import {checkRoundedProducts, roundProducts} from './matmul_precision';
import {merge} from './merge';
import {withFlags} from './option_names';
import {meantBy} from '../common/options';
import {setThreads} from '../kernels/wasm/thread_count';
import {addOptions, file, flag, flagOf, readSettings, refuseMeaningless} from './options';
import {registerBackend, type BackendName} from './register_backend';
import {scores} from './scores';
import {columnsOf, style} from './style';
import {messageOf, UsageError} from './usage_error';

/** In the order of the help. */
export const commands: readonly cli.Command[] = [
  finetune,
  estimate,
  scores,
  generate,
  chat,
  evaluate,
  merge,
  exportModel,
];

/** The options of all commands, which have no place in a config file. */
const commonOptions = {
  config: file('options in a JSON file, by their names in camelCase'),
  json: flag('print the result as one JSON object, and nothing else'),
};

/** The process that the command line runs in; tests give it other streams. */
export interface Environment {
  stdin: cli.Context['stdin'];
  stdout: OutputStream;
  stderr: OutputStream;
  /** What ends the command early; default: nothing. */
  interruption?: Interruption;
  /** Registers a backend with tfjs, false if this machine has no such backend; default: as npm installed it. */
  loadBackend?: (name: BackendName) => Promise<boolean>;
}

/** How a command ended; one that was stopped by a signal has the exit code of that signal. */
export const exitCodes = {done: 0, failed: 1, wrongUsage: 2, ...stopSignals} as const;

/**
 * Runs `tfjs-owlore` with arguments.
 *
 * @returns the exit code.
 */
export async function runProgram(
  args: readonly string[],
  environment: Environment,
): Promise<number> {
  const {stdout, stderr} = environment;
  const console = new CommandConsole(stdout, stderr, args.includes('--json'));
  environment.interruption?.signal.addEventListener('abort', () => console.endProgress());
  try {
    const program = createProgram(environment, console);
    await program.parseAsync(args, {from: 'user'});
    return exitCodes.done;
  } catch (error) {
    console.endProgress();
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.done;
    // the help is there already
    if (error instanceof CommanderError && error.code === 'commander.help') {
      const [, asked] = args;
      if (asked !== undefined)
        console.note(`error: unknown command '${asked}'${hintOnCommand(asked)}`);
      return exitCodes.wrongUsage;
    }
    const message = messageOf(error) + hintOn(error, args);
    if (error instanceof StoppedError) {
      console.note(message);
      console.result({error: message, ...error.result});
      return exitCodes[error.stopSignal];
    }
    const isVerbose = Boolean(process.env['DEBUG']);
    const lines =
      isVerbose && error instanceof Error ? error.stack!.split('\n') : [`error: ${message}`];
    for (const line of lines) console.note(line);
    console.result({error: message});
    const isUsage = error instanceof UsageError || error instanceof CommanderError;
    return isUsage ? exitCodes.wrongUsage : exitCodes.failed;
  }
}

/** What else a command may be called. */
const commandAliases: Readonly<Record<string, string>> = {
  train: 'finetune',
  fit: 'finetune',
  eval: 'evaluate',
  predict: 'generate',
  memory: 'estimate',
};

/** What was meant by a command or a flag that there is not; an empty text if nothing is similar, or the error is another one. */
function hintOn(error: unknown, [first = '']: readonly string[]): string {
  const {code, message} = error as Partial<CommanderError>;
  if (code === 'commander.unknownCommand') return hintOnCommand(first);
  if (code !== 'commander.unknownOption') return '';
  const command = commands.find(({name}) => name === first);
  const [, unknown = ''] = /'--?([^']*)'/.exec(message!) ?? [];
  const meant = meantBy(unknown, Object.keys({...command?.options, ...commonOptions}));
  return meant.length === 0 ? '' : ` (Did you mean ${meant.map(flagOf).join(' or ')}?)`;
}

function hintOnCommand(unknown: string): string {
  const names = commands.map(({name}) => name);
  const meant = commandAliases[unknown] ?? meantBy(unknown, names)[0];
  return meant === undefined
    ? `; the commands are ${names.join(', ')}`
    : ` (Did you mean ${meant}?)`;
}

function createProgram(environment: Environment, console: CommandConsole): Command {
  const {version} = createRequire(import.meta.url)('tfjs-owlore/package.json') as {version: string};
  const program = new Command('tfjs-owlore')
    .usage('<command> [options]')
    .description('Fine-tunes LLaMA-style models with OwLore, and looks at what came out.')
    .version(version, '--version', 'show the version')
    .helpOption('-h, --help', 'show this')
    .helpCommand('help [command]', 'show this, or the options of a command')
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => environment.stdout.write(text),
      writeErr: (text) => environment.stderr.write(text),
      outputError: () => undefined,
      getOutHelpWidth: () => columnsOf(environment.stdout, 100),
      getErrHelpWidth: () => columnsOf(environment.stderr, 100),
      getOutHasColors: () => environment.stdout.hasColors?.() ?? false,
      getErrHasColors: () => environment.stderr.hasColors?.() ?? false,
    })
    .configureHelp({
      styleTitle: (title) => style('bold', title),
      subcommandTerm: (command) => command.name(),
    })
    .addHelpText('after', "\n'tfjs-owlore <command> --help' shows the options of a command.");
  for (const command of commands) addCommand(program, command, environment, console);
  return program;
}

function addCommand(
  program: Command,
  command: cli.Command,
  environment: Environment,
  console: CommandConsole,
): void {
  const added = program
    .command(command.name)
    .usage('[options]')
    .description(command.summary)
    .allowExcessArguments()
    .showSuggestionAfterError(false);
  addOptions(added, {...command.options, ...commonOptions});
  addHelp(added, command);
  added.action(async () => {
    const [excess] = added.args;
    if (excess !== undefined) {
      throw new UsageError(
        `${command.name}: '${excess}' is the value of no option; tfjs-owlore ${command.name} --help shows the options`,
      );
    }
    const {config: own} = readSettings(added, commonOptions).settings;
    const other = command.configFile?.(added.opts());
    if (own !== undefined && other !== undefined) {
      throw new UsageError(
        `${command.name}: --config has no meaning beside the options of '${other}'`,
      );
    }
    const path = own ?? other;
    const config =
      path === undefined
        ? undefined
        : withoutReplaced(added, command, readConfigFile(path, command.options));
    const {settings, given} = readSettings(added, command.options, config);
    refuseMeaningless(given, command.meaningless?.(settings) ?? {});
    const {loadBackend = registerBackend, stdin, interruption = new Interruption()} = environment;
    const names = Object.keys(command.options);
    // a command may select its backend again for what it loads
    const told = new Set<string>();
    const note = (line: string): void => {
      if (!told.has(line)) console.note(line);
      told.add(line);
    };
    const context: cli.Context = {
      console,
      ...{given, configFile: path},
      stdin,
      interruption,
      selectBackend: async (name, order) => {
        const {threads} = settings;
        if (typeof threads === 'number') setThreads(threads);
        const isRounded = settings['matmulPrecision'] === 'medium';
        const load = (candidate: BackendName): Promise<boolean> => {
          if (isRounded && candidate === 'tensorflow') roundProducts();
          return loadBackend(candidate);
        };
        const backend = await selectBackend(name, note, load, order);
        if (isRounded) checkRoundedProducts(given.get('matmulPrecision')!, backend, note);
        return backend;
      },
      withFlags: (message) => withFlags(message, command.name, names, given),
    };
    try {
      console.result(
        await withLibraryMessages(
          (line) => console.note(context.withFlags(line)),
          () => command.run(settings, context),
        ),
      );
    } catch (error) {
      if (error instanceof Error) error.message = context.withFlags(error.message);
      throw error;
    }
  });
}

/** `--help`, of a command with many options with those that are used most; `--help all` has all of them, under their headings. */
function addHelp(added: Command, {mostUsed, ...command}: cli.Command): void {
  const shown = mostUsed && [...mostUsed, ...Object.keys(commonOptions), 'help'];
  let showsAll = shown === undefined;
  added
    .helpOption(false)
    .addOption(
      shown
        ? new Option('-h, --help [all]', 'show this; all: with all options')
        : new Option('-h, --help', 'show this'),
    )
    .on('option:help', (which: string | null) => {
      showsAll ||= which === 'all';
      added.help();
    })
    .configureHelp({
      ...added.configureHelp(),
      visibleOptions: ({options}) =>
        options.filter(
          (option) => !option.hidden && (showsAll || shown!.includes(option.attributeName())),
        ),
    })
    .addHelpText('after', () =>
      showsAll
        ? helpOnExamples(command)
        : `\nThese are the options that are used most; --help all shows all.\n${helpOnExamples(command)}`,
    );
}

function helpOnExamples({examples}: Pick<cli.Command, 'examples'>): string {
  const lines = examples.map(([what, args]) => `  # ${what}\n  npx tfjs-owlore ${args}`);
  return `\n${style('bold', 'Examples:')}\n${lines.join('\n')}`;
}
