/** Messages of the library name its options; on the command line they name flags. */
import {flagOf, type Given} from './options';

/** Advice of the library to use an option that the command line does not have. */
const NOT_HERE = [
  /, or wait longer with the option `request`: \{timeout: milliseconds\}/,
  /; the option `request` takes headers, such as \{headers: \{authorization: …\}\}/,
];

/**
 * A message of the library in the names of the command line: `--max-length` for `maxLength`, `--tau auto` for `tau: 'auto'`. An
 * option from a config file keeps its name. A name that may be an ordinary word, such as `seed`, is replaced only where the
 * message is about it: in `outlierScores: tau must be …`.
 *
 * The name of a function that a message begins with, as in `loadLlama: …`, is left out.
 *
 * @param command The command's name, which a message about an option starts with.
 * @param names The command's options.
 */
export function withFlags(
  message: string,
  command: string,
  names: readonly string[],
  given: Given,
): string {
  const possible = NOT_HERE.reduce((text, advice) => text.replace(advice, ''), message);
  const named = names.reduce((text, name) => {
    const called = given.get(name) ?? `${command}: ${flagOf(name)}`;
    const subject = text.replace(new RegExp(`^\\w+: ${name}(?= (must|is) )`), called);
    if (called.endsWith(`: ${name}`)) return subject;
    const flag = flagOf(name);
    const withValues = subject
      .replaceAll(`the option \`${name}\``, flag)
      .replace(
        new RegExp(`(?<![\\w-])${name}: (?:'(\\w+)'|(\\d[\\d.e+-]*))`, 'g'),
        (_, word?: string, count?: string) => `${flag} ${word ?? count}`,
      );
    const isWord = name === name.toLowerCase();
    return isWord ? withValues : withValues.replace(new RegExp(`\\b${name}\\b`, 'g'), flag);
  }, possible);
  // the function of the library that has noticed it
  return named.replace(/^[A-Za-z]*[a-z][A-Z]\w*: /, '');
}
