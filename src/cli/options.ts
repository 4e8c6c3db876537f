/**
 * Options of a command, each described once: its flag, its help, its default, and what it may be, on the command
 * line and in a config file. The names are those of the library's options; a flag is a name in kebab case.
 */
import {existsSync, statSync} from 'node:fs';
import {dirname, join, relative, resolve, sep} from 'node:path';
import {Option, type Command} from 'commander';
import {isUrl} from '../files/file_url';
import {parseHubName} from '../files/hub_name';
import {
  checkChoice,
  checkFlag,
  checkNumber,
  display,
  type NumberRange,
  type OptionEntry,
} from '../common/options';
import {isModelFile} from '../llama/files/model_source';
import type {Program} from './start_program';
import {asUsage, UsageError} from './usage_error';

/** An option whose value is a `T`. */
export interface OptionDescription<T> {
  help: string;
  /** What stands for the value in the help, such as `<n>`, or `[n]` if the option may be without one; null for what is on or off. */
  placeholder: string | null;
  /** What it is if it is not given. */
  default: T | undefined;
  choices?: readonly string[];
  /** Under which heading of the help it stands. */
  group?: string;
  isRequired?: boolean;
  /** A flag beside which it is not required. */
  isOptionalWith?: string;
  /** Whether a config file cannot have it. */
  isOfCommandLine?: boolean;
  /** Whether its value is run as a program. */
  isProgram?: boolean;
  /** Whether it may be given several times. */
  isList?: boolean;
  /** Turns a text on the command line into a value; `check` decides whether that is valid. */
  parse(text: string): unknown;
  /** Throws unless a value is valid; the message starts with `owner` and `name`. */
  check(owner: string, name: string, value: unknown): void;
}

/** The options of a command, by name. */
export type Options = Record<string, OptionDescription<unknown>>;

/** The values of options, by name. */
export type SettingsOf<O extends Options> = {
  [Name in keyof O]: O[Name] extends OptionDescription<infer T> ? T : never;
};

/** The options that were given, each with what a message calls it: `generate: --seed` or `run.json: seed`. */
export type Given = ReadonlyMap<string, string>;

/** A number in a range. */
export function number<Default extends number | undefined = undefined>(
  help: string,
  {default: value, ...range}: NumberRange & {default?: Default},
): OptionDescription<number | Default> {
  return {
    help,
    placeholder: '<n>',
    default: value,
    parse: numberIn,
    check: (owner, name, given) => checkNumber(owner, name, given, range),
  };
}

/** A number in a range, or a word such as `auto`. */
export function numberOr<Word extends string, Default extends number | Word | undefined>(
  word: Word,
  help: string,
  {default: value, ...range}: NumberRange & {default?: Default},
): OptionDescription<number | Word | Default> {
  return {
    help,
    placeholder: `<n|${word}>`,
    default: value,
    parse: numberIn,
    check: (owner, name, given) => {
      if (given !== word) checkNumber(owner, `${name}, if not '${word}',`, given, range);
    },
  };
}

/** One of some words. */
export function choice<T extends string, Default extends T | undefined = undefined>(
  help: string,
  choices: readonly T[],
  value?: Default,
): OptionDescription<T | Default> {
  return {
    help,
    placeholder: '<name>',
    choices,
    default: value,
    parse: asIs,
    check: (owner, name, given) => checkChoice(owner, name, given, choices),
  };
}

/** What an option of the library is on the command line: a number alone where it is a number or a word. */
type Plain<T> = number extends T ? number : Extract<T, string>;

/**
 * An option of the library, by its entry in the table of such options: in its range or one of its choices.
 *
 * @param own The default, where that is another one here.
 */
export function libraryOption<T>(help: string, entry: OptionEntry<T>): OptionDescription<Plain<T>>;
export function libraryOption<T, Default extends Plain<T> | undefined>(
  help: string,
  entry: OptionEntry<T>,
  own: {default: Default},
): OptionDescription<Plain<T> | Default>;
export function libraryOption(
  help: string,
  {check, default: value}: OptionEntry<unknown>,
  own: {default: unknown} = {default: value},
): OptionDescription<unknown> {
  if (typeof check === 'function')
    throw new Error(`libraryOption: '${help}' has a check of its own`);
  if (check && 'length' in check) return choice(help, check, own.default as string | undefined);
  return number(help, {...check, default: own.default as number | undefined});
}

/** Any text. */
export function text(help: string, placeholder: string): OptionDescription<string | undefined> {
  return {help, placeholder, default: undefined, parse: asIs, check: checkText};
}

/** Any number of texts, none of which is empty. */
export function texts(help: string, placeholder: string): OptionDescription<readonly string[]> {
  return {
    help,
    placeholder,
    default: [],
    isList: true,
    parse: asIs,
    check: (owner, name, given) => {
      if (!Array.isArray(given)) {
        throw new Error(`${owner}: ${name} must be a list of texts; got ${display(given)}`);
      }
      for (const one of given as unknown[]) {
        checkText(owner, name, one);
        if (one === '') throw new Error(`${owner}: ${name} must not be an empty text; got ''`);
      }
    },
  };
}

/** On or off; off if it is not given. */
export function flag(help: string): OptionDescription<boolean> {
  return {help, placeholder: null, default: false, parse: asIs, check: checkFlag};
}

/** On, off, or a number in a range, with which it is on; off if it is not given. */
export function flagOrNumber(
  help: string,
  placeholder: string,
  range: NumberRange,
): OptionDescription<boolean | number> {
  return {
    help,
    placeholder: `[${placeholder}]`,
    default: false,
    parse: numberIn,
    check: (owner, name, given) => {
      if (typeof given !== 'boolean')
        checkNumber(owner, `${name}, if it has a value,`, given, range);
    },
  };
}

/** A path as it is; a URL without what may be secret in it: user and password, and a query, which may be a signature. */
export function withoutSecrets(text: string): string {
  if (!isUrl(text) || !URL.canParse(text)) return text;
  const {origin, pathname} = new URL(text);
  return origin + pathname;
}

/** The path of a file that is there. */
export function file(help: string): OptionDescription<string | undefined> {
  return {...text(help, '<file>'), check: (...args) => checkPath('file', ...args)};
}

/** The path of a file that is there, or its http(s) URL. */
export function fileOrUrl(help: string): OptionDescription<string | undefined> {
  return {...text(help, '<file|url>'), check: checkFileOrUrl};
}

/** The path of a folder that is there. */
export function folder(help: string): OptionDescription<string | undefined> {
  return {...text(help, '<folder>'), check: (...args) => checkPath('folder', ...args)};
}

/**
 * Where a model is: the path of its folder, of a file in it, or of the one file that has all of it, an http(s) URL, or its name on the
 * Hugging Face Hub.
 */
export function modelSource(help: string): OptionDescription<string | undefined> {
  return {
    ...text(help, '<model>'),
    check: (owner, name, value) => {
      checkText(owner, name, value);
      if (isThere('folder', value) || isUrl(value) || isHubName(value)) return;
      if (isThere('file', value) && (value.endsWith('.safetensors') || isModelFile(value))) return;
      const what = existsSync(value)
        ? `${display(value)} is none of these`
        : `there is no such folder or file: ${display(value)}`;
      throw new Error(
        `${owner}: ${name} must be the folder of a model, a .safetensors file in one, a GGUF file, the URL of one of them, or its name on ` +
          `the Hugging Face Hub, owner/name or owner/name@revision; ${what}`,
      );
    },
  };
}

/** Where an adapter of peft is: the path of its folder, or its name on the Hugging Face Hub. */
export function adapterSource(help: string): OptionDescription<string | undefined> {
  return {
    ...text(help, '<folder>'),
    check: (owner, name, value) => {
      checkText(owner, name, value);
      if (!isHubName(value)) checkPath('folder', owner, name, value);
    },
  };
}

/** Whether a text names a model of the Hub; a path that is there is a path. */
export function isHubName(text: string): boolean {
  return (
    parseHubName(text) !== null &&
    !isModelFile(text) &&
    !isThere('folder', text) &&
    !isThere('file', text)
  );
}

/**
 * The path of a file to write, in a folder that is there. A config of a stranger must not choose it: the file could be one that is run,
 * as that of a shell.
 */
export function outputFile(help: string): OptionDescription<string | undefined> {
  return {
    ...onlyOnCommandLine(text(help, '<file>')),
    check: (owner, name, value) => {
      checkOutput(owner, name, value);
      if (isThere('folder', value))
        throw new Error(`${owner}: ${name} must be a file; ${display(value)} is a folder`);
      checkPath('folder', owner, name, dirname(value));
    },
  };
}

/** The path of a folder to write to, which need not be there. */
export function outputFolder(help: string): OptionDescription<string | undefined> {
  return {
    ...text(help, '<folder>'),
    check: (owner, name, value) => {
      checkOutput(owner, name, value);
      const place = nearestThere(resolve(value));
      if (isThere('folder', place)) return;
      const what = isThere('file', place) ? 'a file' : 'none';
      throw new Error(`${owner}: ${name} must be a folder; ${display(place)} is ${what}`);
    },
  };
}

/** What a text has that nothing can be made under, by the code of the error. */
const IMPOSSIBLE: Readonly<Record<string, string>> = {
  ENAMETOOLONG: 'is longer than a path, or a name in one, may be here',
  ELOOP: 'leads in a circle of links',
  ERR_INVALID_ARG_VALUE: 'has a NUL in it',
};

/** Room for the names of what is made in a folder. */
const INNER = join('x'.repeat(100), 'x'.repeat(100));

/** Throws unless something may be made under this path; an empty text would be the folder that the command runs in. */
function checkOutput(owner: string, name: string, value: unknown): asserts value is string {
  checkText(owner, name, value);
  if (value === '') throw new Error(`${owner}: ${name} must be a path; got ''`);
  const path = resolve(value);
  try {
    // names that are not there are tried where the first of them would be
    const there = nearestThere(path);
    const names = relative(there, path).split(sep);
    for (const each of [path, join(path, INNER), ...names.map((missing) => join(there, missing))])
      statSync(each, {throwIfNoEntry: false});
  } catch (cause) {
    const why = IMPOSSIBLE[(cause as NodeJS.ErrnoException).code ?? ''];
    // anything else is told by what opens it
    if (why !== undefined)
      throw new Error(`${owner}: ${name}: ${display(value)} ${why}; name another one`, {cause});
  }
}

/** A path, or the folder nearest to it that is there. */
export function nearestThere(path: string): string {
  let place = path;
  while (!existsSync(place) && place !== dirname(place)) place = dirname(place);
  return place;
}

/**
 * A program that is run: its path, or its name in PATH. A file of a stranger must not choose it, so that only the command line can name
 * it, and the options of a run that are written down are without it.
 */
export function program(help: string): OptionDescription<Program | undefined> {
  const option: OptionDescription<string | undefined> = {
    ...onlyOnCommandLine(text(help, '<program>')),
    isProgram: true,
    check: (owner, name, value) => {
      checkText(owner, name, value);
      if (value.trim() !== '' && !value.includes('\0')) return;
      throw new Error(
        `${owner}: ${name} must be a program, by its path or its name in PATH; got ${display(value)}`,
      );
    },
  };
  return option as OptionDescription<Program | undefined>;
}

/**
 * An option that has to be given.
 *
 * @param unless A flag beside which it need not be given, and is undefined then.
 */
export function required<T>(
  option: OptionDescription<T | undefined>,
  {unless}: {unless?: string} = {},
): OptionDescription<T> {
  return {...option, isRequired: true, ...(unless !== undefined && {isOptionalWith: unless})};
}

/** An option that a config file cannot have. */
export function onlyOnCommandLine<T>(option: OptionDescription<T>): OptionDescription<T> {
  return {...option, isOfCommandLine: true};
}

/** Options under a heading of their own in the help. */
export function group<O extends Options>(heading: string, options: O): O {
  const grouped = Object.entries(options).map(([name, option]) => [
    name,
    {...option, group: `${heading}:`},
  ]);
  return Object.fromEntries(grouped) as O;
}

/** The flag of an option: `--top-k` for `topK`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Adds options to a command of commander. */
export function addOptions(command: Command, options: Options): void {
  for (const [name, description] of Object.entries(options)) {
    const {placeholder, choices, isList, isRequired} = description;
    const what = choices ? `${description.help} (${listOf(choices)})` : description.help;
    const help = isRequired ? `${what} (required)` : what;
    const long = flagOf(name);
    const option = new Option(placeholder === null ? long : `${long} ${placeholder}`, help);
    option.helpGroupHeading = description.group;
    const isFlag = typeof description.default === 'boolean';
    if (!isList && !isFlag) option.default(description.default, String(description.default));
    command.addOption(option);
    if (isFlag) {
      // the command line wins over a config file that says true
      const off = new Option(long.replace('--', '--no-')).hideHelp();
      off.helpGroupHeading = description.group;
      command.addOption(off);
    }
    if (placeholder === null) continue;
    option.argParser((argument: string, before: unknown) => {
      const value = description.parse(argument);
      const all = isList ? [...((before as unknown[] | undefined) ?? []), value] : value;
      asUsage(() => description.check(command.name(), long, all));
      return all;
    });
  }
}

/**
 * The settings of a command that has parsed its arguments: what it was given, or else what a config file says, or else
 * the default.
 *
 * @throws UsageError if an option that is needed is missing.
 */
export function readSettings<O extends Options>(
  command: Command,
  options: O,
  config: {name: string; values: Record<string, unknown>} = {name: '', values: {}},
): {settings: SettingsOf<O>; given: Given} {
  const settings: Record<string, unknown> = {};
  const given = new Map<string, string>();
  const isOptional = ({isOptionalWith: flag}: OptionDescription<unknown>): boolean =>
    flag !== undefined && command.getOptionValue(flag) === true;
  for (const [name, option] of Object.entries<OptionDescription<unknown>>(options)) {
    if (command.getOptionValueSource(name) === 'cli') {
      settings[name] = command.getOptionValue(name);
      given.set(name, `${command.name()}: ${flagOf(name)}`);
    } else if (name in config.values) {
      settings[name] = config.values[name];
      given.set(name, `${config.name}: ${name}`);
    } else if (option.isRequired && !isOptional(option)) {
      throw new UsageError(`${command.name()}: ${flagOf(name)} is missing: ${option.help}`);
    } else {
      settings[name] = option.default;
    }
  }
  return {settings: settings as SettingsOf<O>, given};
}

/**
 * Refuses options that were given but have no effect.
 *
 * @param reasons Why they have none, by option: `--method full`.
 */
export function refuseMeaningless(given: Given, reasons: Record<string, string | undefined>): void {
  for (const [name, reason] of Object.entries(reasons)) {
    const called = given.get(name);
    if (called === undefined || reason === undefined) continue;
    throw new UsageError(`${called} has no meaning with ${reason}`);
  }
}

/** `a, b or c`. */
function listOf(words: readonly string[]): string {
  return [words.slice(0, -1).join(', '), words.at(-1)!].filter(Boolean).join(' or ');
}

function numberIn(text: string): number | string {
  return text.trim() === '' || isNaN(Number(text)) ? text : Number(text);
}

function asIs(text: string): string {
  return text;
}

function checkText(owner: string, name: string, value: unknown): asserts value is string {
  if (typeof value === 'string') return;
  throw new Error(`${owner}: ${name} must be a text; got ${display(value)}`);
}

type PathKind = 'file' | 'folder';

function checkPath(kind: PathKind, owner: string, name: string, value: unknown): void {
  checkText(owner, name, value);
  if (isThere(kind, value)) return;
  const other = (['file', 'folder'] as const).find((each) => isThere(each, value));
  if (other !== undefined)
    throw new Error(`${owner}: ${name} must be a ${kind}; ${display(value)} is a ${other}`);
  if (existsSync(value))
    throw new Error(
      `${owner}: ${name} must be a ${kind}; ${display(value)} is neither that nor a ${kind === 'file' ? 'folder' : 'file'}, ` +
        'but a pipe or a device; write what comes out of it to a file first',
    );
  throw new Error(`${owner}: ${name}: there is no ${kind} ${display(value)}`);
}

/** Whether a text is the path of such a thing. */
export function isThere(kind: PathKind, path: string): boolean {
  try {
    const found = statSync(path);
    return kind === 'file' ? found.isFile() : found.isDirectory();
  } catch (error) {
    const {code = ''} = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ENOTDIR'].includes(code) || Object.hasOwn(IMPOSSIBLE, code)) return false;
    throw error;
  }
}

function checkFileOrUrl(owner: string, name: string, value: unknown): void {
  if (typeof value !== 'string' || !isUrl(value)) checkPath('file', owner, name, value);
  else if (!isNameable(value)) throw new Error(`${owner}: ${name}: ${display(value)} is not a URL`);
}

/** Whether a URL can be taken apart, and its path read. */
function isNameable(url: string): boolean {
  try {
    return decodeURIComponent(new URL(url).pathname) !== '';
  } catch {
    return false;
  }
}
