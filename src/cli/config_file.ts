/** `--config run.json`: the options of a command as a plain object, under their names in camel case. */
import {parseJsonObject} from '../files/json';
import {checkKnown} from '../options';
import type {Options} from './options';
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
 *   know, or one that is out of range.
 */
export function readConfigFile(name: string, options: Options): Config {
  return asUsage(() => {
    const all = parseJsonObject(name, new TextEncoder().encode(readUtf8(name)));
    checkKnown(name, all, Object.keys(options));
    const values = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
    for (const [option, value] of Object.entries(values)) {
      options[option]!.check(name, option, value);
    }
    return {name, values};
  });
}
