/** `--config run.json`: the options of a command as a plain object, under their names in camel case. */
import type {Command} from 'commander';
import {parseJsonObject} from '../files/json';
import {checkKnown} from '../common/options';
import type * as cli from './command';
import {flagOf, readSettings, type Options, type SettingsOf} from './options';
import {asUsage} from './usage_error';
import {readUtf8} from './utf8_file';

/** The options of a config file. */
export interface Config {
  /** The file's path, for messages. */
  name: string;
  values: Record<string, unknown>;
}

/**
 * Reads a config file. An option that is null counts as not given.
 *
 * @throws UsageError if it cannot be read, if it is not a JSON object, or if it has an option that the command does not
 *   know, one that is out of range, or one that is for the command line alone.
 */
export function readConfigFile(name: string, options: Options): Config {
  return asUsage(() => {
    const all = parseJsonObject(name, new TextEncoder().encode(readUtf8(name)));
    checkKnown(name, all, Object.keys(options));
    const values = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
    for (const [option, value] of Object.entries(values)) {
      if (options[option]!.isOfCommandLine) {
        throw new Error(
          `${name}: ${option} is possible on the command line only, by ${flagOf(option)}; leave it out`,
        );
      }
      options[option]!.check(name, option, value);
    }
    return {name, values};
  });
}

/**
 * A config file without what the command line has replaced: the alternatives to its options, and what has a meaning in the file alone but
 * none beside them. What has none in the file alone stays, to be refused.
 *
 * @param parsed The command of commander that has parsed the command line.
 */
export function withoutReplaced<O extends Options>(
  parsed: Command,
  {options, alternatives = [], meaningless = () => ({})}: cli.Command<O>,
  {name, values}: Config,
): Config {
  const isOnCommandLine = (option: string): boolean =>
    parsed.getOptionValueSource(option) === 'cli';
  const unusedIn = (settings: SettingsOf<O>): string[] =>
    Object.entries(meaningless(settings)).flatMap(([option, reason]) =>
      reason === undefined ? [] : [option],
    );
  const defaults = Object.entries(options).map(([option, {default: value}]) => [option, value]);
  const unused = unusedIn({...Object.fromEntries(defaults), ...values} as SettingsOf<O>);
  const left = {...values};
  let replaced = alternatives.filter((each) => each.some(isOnCommandLine)).flat();
  do {
    for (const option of replaced) Reflect.deleteProperty(left, option);
    // without these, others may have no meaning any more
    const {settings} = readSettings(parsed, options, {name, values: left});
    replaced = unusedIn(settings).filter((option) => option in left && !unused.includes(option));
  } while (replaced.length > 0);
  return {name, values: left};
}
