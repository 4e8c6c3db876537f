import type {CommandConsole} from './console';
import type {Interruption} from './interruption';
import type {Given, Options, SettingsOf} from './options';
import type {BackendName} from './register_backend';

/** What a command is given beside its options. */
export interface Context {
  console: CommandConsole;
  /** The options that were given, on the command line or in a config file. */
  given: Given;
  /** The path of the config file, if there is one. */
  configFile?: string | undefined;
  /** A message of the library with the names that options have on the command line. */
  withFlags(message: string): string;
  stdin: NodeJS.ReadableStream & {isTTY?: boolean};
  /**
   * Makes a backend tfjs's, with this library's kernels; throws if this machine has no such backend.
   *
   * @param order Of which `'auto'` takes the first that works; default: tensorflow, wasm, cpu.
   */
  selectBackend(name: BackendName | 'auto', order?: readonly BackendName[]): Promise<BackendName>;
  /** What ends the command early, such as Ctrl-C. */
  interruption: Interruption;
}

/** A command of `tfjs-owlore`: one file of this folder that program.ts lists. */
export interface Command<O extends Options = Options> {
  name: string;
  /** What it does, in a line. */
  summary: string;
  /** Command lines, without the program's name, each below a line that says what it does. */
  examples: ReadonlyArray<readonly [what: string, args: string]>;
  options: O;
  /** Those that `--help` shows, where `--help all` shows the others as well; default: all. */
  mostUsed?: readonly string[];
  /** Options of which each stands in the place of the others of its list. */
  alternatives?: ReadonlyArray<readonly string[]>;
  /** The options that have no effect in a run with these settings, each with the reason: `--method full`. They are refused. */
  meaningless?(settings: SettingsOf<O>): Record<string, string | undefined>;
  /** The config file that the options of the command line ask for in place of `--config`, as `--resume` does. */
  configFile?(options: Partial<SettingsOf<O>>): string | undefined;
  /**
   * Does it.
   *
   * @returns what `--json` prints.
   * @throws UsageError for options that do not go together; other errors are of the work itself.
   */
  run(settings: SettingsOf<O>, context: Context): Promise<object>;
}

/** A command, with the types of its settings by its options. */
export function defineCommand<O extends Options>(command: Command<O>): Command<O> {
  return command;
}
