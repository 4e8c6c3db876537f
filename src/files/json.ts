/** JSON from files that may be damaged or hostile. */

/** The most bytes that are read of a JSON file or header: the limit of the safetensors format. */
export const MAX_JSON_BYTES = 100_000_000;

/** The deepest nesting of brackets; deeper values could not be written into a message. */
const DEEPEST = 100;

/** A JSON object. */
export type JsonObject = Record<string, unknown>;

/**
 * The JSON object that UTF-8 bytes hold.
 *
 * @throws if they are not a JSON object, if it is nested more than 100 deep, or if one of its objects has a
 *   name twice: `JSON.parse` would silently take the last value, other readers the first.
 */
export function parseJsonObject(owner: string, bytes: Uint8Array): JsonObject {
  let value: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${owner} is not JSON: ${shorten((error as Error).message)}`, {cause: error});
  }
  if (!isObject(value)) throw new Error(`${owner} is not a JSON object`);
  checkNames(owner, text);
  return value;
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

/** Throws if an object of valid JSON has a name twice, or if it is nested beyond reason. */
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
    if (open.length > DEEPEST) throw new Error(`${owner} is nested more than ${DEEPEST} deep`);
  }
}

/** The index after the string that starts at `start`. */
function endOfString(json: string, start: number): number {
  let i = start + 1;
  while (json[i] !== '"') i += json[i] === '\\' ? 2 : 1;
  return i + 1;
}

function isSpace(char: string | undefined): boolean {
  return char === ' ' || char === '\n' || char === '\t' || char === '\r';
}
