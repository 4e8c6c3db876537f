/** JSON from files that may be damaged or hostile. */

/** The most bytes that are read of a JSON file or header: the limit of the safetensors format. */
export const MAX_JSON_BYTES = 100_000_000;

/** The deepest nesting of brackets; deeper values could not be written into a message. */
const DEEPEST = 100;

/** The most values: twice as many as the largest tokenizers have, of 262144 tokens and 514906 merges. */
const MAX_VALUES = 4_000_000;

/** A JSON object. */
export type JsonObject = Record<string, unknown>;

/**
 * The JSON object that UTF-8 bytes hold.
 *
 * @param maxValues The most values in it, at any depth; default 4 million.
 * @throws if they are not a JSON object, if it is beyond the limits of `parseJsonText`, or if one of its objects has a
 *   name twice: `JSON.parse` would silently take the last value, other readers the first.
 */
export function parseJsonObject(
  owner: string,
  bytes: Uint8Array,
  maxValues = MAX_VALUES,
): JsonObject {
  const text = decodeUtf8(owner, bytes);
  const value = parseJsonText(owner, text, maxValues);
  if (!isObject(value)) throw new Error(`${owner} is not a JSON object`);
  checkNames(owner, text);
  return value;
}

/**
 * The value that a JSON text stands for.
 *
 * @throws if it is not JSON, if it is nested more than 100 deep, or if it has more than `maxValues` values.
 */
export function parseJsonText(owner: string, text: string, maxValues = MAX_VALUES): unknown {
  checkLimits(owner, text, maxValues);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${owner} is not JSON: ${shorten((error as Error).message)}`, {cause: error});
  }
}

/** @throws if the bytes are not UTF-8. A byte order mark stays. */
export function decodeUtf8(owner: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes);
  } catch (cause) {
    throw new Error(`${owner} is not UTF-8; save it as UTF-8`, {cause});
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object as transformers writes JSON files. */
export function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** A value of a JSON file for a message, cut where it is long. */
export function show(value: unknown): string {
  return shorten(JSON.stringify(value) ?? 'nothing');
}

function shorten(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

/** Throws before the time and memory are spent that a value beyond reason would take; the text need not be JSON. */
function checkLimits(owner: string, text: string, maxValues: number): void {
  let depth = 0;
  let values = 1;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '"') i = endOfString(text, i) - 1;
    else if (char === ',') values++;
    else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') depth--;
    if (depth > DEEPEST) throw new Error(`${owner} is nested more than ${DEEPEST} deep`);
    if (values <= maxValues) continue;
    throw new Error(`${owner} has more than ${maxValues} values; no file of its kind has so many`);
  }
}

/** Throws if an object of valid JSON has a name twice. */
function checkNames(owner: string, json: string): void {
  /** The names of the objects that are open; null for an array. */
  const open: Array<Set<string> | null> = [];
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '{') open.push(new Set());
    else if (char === '[') open.push(null);
    else if (char === '}' || char === ']') open.pop();
    else if (char === '"') {
      const end = endOfString(json, i);
      let next = end;
      while (isSpace(json[next])) next++;
      if (json[next] === ':') {
        const name = JSON.parse(json.slice(i, end)) as string;
        const names = open.at(-1)!;
        if (names.has(name)) throw new Error(`${owner} has ${show(name)} twice`);
        names.add(name);
      }
      i = next - 1;
    }
  }
}

/** The index after the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

function isSpace(char: string | undefined): boolean {
  return char === ' ' || char === '\n' || char === '\t' || char === '\r';
}
