/**
 * What to say of an error that files of a stranger lead to. The engine's own are told in words of this library: they name what is within
 * the library that reads the file, and differ from engine to engine.
 *
 * @param instead What to take in its place.
 */
export function reasonOf(cause: unknown, instead: string): string {
  if (!(cause instanceof Error)) return String(cause);
  const {name, message} = cause;
  if (!['TypeError', 'RangeError', 'InternalError'].includes(name)) return message;
  if (/stack|recursion/.test(message)) return `it is too long or nested too deep; take ${instead}`;
  if (/length|allocation/.test(message)) return `it takes too much memory; take ${instead}`;
  return `it uses something that is missing or is not what it must be; take ${instead}`;
}
