/** Checks shared by every options object: a message names the owner, the option, the value and what is allowed. */

/** Allowed range of a number; bounds are inclusive unless named `exclusive…`. */
export interface NumberRange {
  min?: number;
  max?: number;
  exclusiveMin?: number;
  exclusiveMax?: number;
  integer?: boolean;
}

/** What a seed may be. */
export const seedRange: NumberRange = {integer: true, min: 0, max: 2 ** 32 - 1};

/** What anything that is counted may be, in a file: nine times as much is an exact integer, so that counting can go on. */
export const countRange: NumberRange = {integer: true, min: 0, max: 1e15};

/** The most steps of a training that a file may tell of: twice as many are an int32, so that a training that goes on can be saved. */
export const MAX_STEPS = 1e9;

/** What a number of steps, of epochs or of checkpoints may be, in a file. */
export const stepRange: NumberRange = {integer: true, min: 0, max: MAX_STEPS};

/** Throws unless `value` is a finite number (an integer if asked) within `range`. */
export function checkNumber(
  owner: string,
  name: string,
  value: unknown,
  range: NumberRange = {},
): asserts value is number {
  const {min, max, exclusiveMin, exclusiveMax, integer} = range;
  const ok =
    typeof value === 'number' &&
    Number.isFinite(value) &&
    (!integer || Number.isInteger(value)) &&
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (exclusiveMin === undefined || value > exclusiveMin) &&
    (exclusiveMax === undefined || value < exclusiveMax);
  if (!ok) {
    throw new Error(`${owner}: ${name} must be ${describeRange(range)}; got ${display(value)}`);
  }
}

/** Throws unless `value` is one of `choices`. */
export function checkChoice<T extends string>(
  owner: string,
  name: string,
  value: unknown,
  choices: readonly T[],
): asserts value is T {
  if (!choices.includes(value as T)) {
    const allowed = choices.map((choice) => `'${choice}'`).join(', ');
    throw new Error(`${owner}: ${name} must be one of ${allowed}; got ${display(value)}`);
  }
}

/** What is known of an option beside its type and its meaning, which the interface of the options says. */
export interface OptionEntry<T> {
  /** The value where none is given. It needs no check. */
  default: T;
  /** What else it may be: a number in a range, one of some choices, or what this function does not throw for. */
  check?: NumberRange | readonly string[] | ((owner: string, name: string, value: unknown) => void);
  /** The value as JSON in a saved model, and back. Without them it is the value itself. */
  toConfig?(name: string, value: T): unknown;
  fromConfig?(value: unknown): T | undefined;
  /** Of an option that picks variables: the value as {@link comparableOptions} gives it, which may be a file's, with other names. */
  withNames?(value: unknown, nameOf: (name: string) => string): unknown;
  /**
   * A training that goes on from a checkpoint must have the value that it began with; but not of an option that the checkpoint brings
   * with it, or that is only about its beginning.
   */
  mayDiffer?: true;
}

/** All options of a class. Constructor, configuration, the comparison with a checkpoint and the reference page read it. */
export type OptionTable<Options> = {readonly [Name in keyof Options]-?: OptionEntry<Options[Name]>};

/** The default of each option. */
export function defaultsOf<Options>(table: OptionTable<Options>): Options {
  const entries = Object.entries<OptionEntry<unknown>>(table);
  return Object.fromEntries(entries.map(([name, entry]) => [name, entry.default])) as Options;
}

/** Fills in defaults; throws an error that names the option, its value and what is allowed. */
export function resolveOptions<Options extends object>(
  owner: string,
  table: OptionTable<Options>,
  given: Partial<Options>,
): Options {
  checkKnown(owner, given, Object.keys(table));
  const resolved = {...defaultsOf(table), ...definedIn(given)};
  for (const [name, entry] of Object.entries<OptionEntry<unknown>>(table)) {
    const value: unknown = resolved[name as keyof Options];
    if (value === entry.default || !entry.check) continue;
    if (typeof entry.check === 'function') entry.check(owner, name, value);
    else if ('length' in entry.check) checkChoice(owner, name, value, entry.check);
    else checkNumber(owner, name, value, entry.check);
  }
  return resolved;
}

/** Options with another value each. What is none of the table stays as it is. */
export function mapOptions<Options>(
  table: OptionTable<Options>,
  options: object,
  map: (entry: OptionEntry<unknown>, name: string, value: unknown) => unknown,
): Record<string, unknown> {
  const entries = new Map(Object.entries<OptionEntry<unknown>>(table));
  return Object.fromEntries(
    Object.entries(options).map(([name, value]: [string, unknown]) => {
      const entry = entries.get(name);
      return [name, entry ? map(entry, name, value) : value];
    }),
  );
}

/** Of some options those in which a training that goes on must not differ from the one that was saved. */
export function bindingOptions<Options>(table: OptionTable<Options>, options: object): object {
  return Object.fromEntries(
    Object.entries(options).filter(
      ([name]) => !(name in table && table[name as keyof Options].mayDiffer),
    ),
  );
}

/** Throws unless an argument is what it must be. */
export function checkArgument(
  owner: string,
  name: string,
  value: unknown,
  what: string,
  isRight: boolean,
): void {
  if (!isRight) throw new Error(`${owner}: ${name} must be ${what}; got ${classOf(value)}`);
}

/** Throws unless `model` is one of tfjs-layers, of whichever copy. */
export function checkModel(owner: string, model: unknown): void {
  const {layers, predict} = (model ?? {}) as {layers?: unknown; predict?: unknown};
  const isModel = Array.isArray(layers) && typeof predict === 'function';
  checkArgument(owner, 'model', model, 'a tf.LayersModel', isModel);
}

/** Throws unless `value` is true or false. */
export function checkFlag(owner: string, name: string, value: unknown): asserts value is boolean {
  if (typeof value === 'boolean') return;
  throw new Error(`${owner}: ${name} must be true or false; got ${display(value)}`);
}

/** The names of options in PyTorch, Keras, GaLore's code, Hugging Face's trainers and the papers, in lower case without `_`. */
const aliases: Readonly<Record<string, readonly string[]>> = {
  lr: ['learningRate'],
  eta: ['learningRate'],
  stepsize: ['learningRate'],
  betas: ['beta1', 'beta2'],
  momentum: ['beta1'],
  eps: ['epsilon'],
  wd: ['weightDecay'],
  r: ['rank'],
  alpha: ['scale'],
  updateprojgap: ['refreshInterval'],
  projtype: ['side'],
  maxgradnorm: ['clipNorm'],
  globalclipnorm: ['clipNorm'],
  gradientclipval: ['clipNorm'],
  gradientaccumulationsteps: ['accumulate'],
  accumulategradbatches: ['accumulate'],
  accumulationsteps: ['accumulate'],
  period: ['interval'],
  k: ['interval', 'topK'],
  randomseed: ['seed'],
  randomstate: ['seed'],
  maxlength: ['maxNewTokens'],
  maxtokens: ['maxNewTokens', 'maxLength'],
  maxseqlength: ['maxLength'],
  eostokenid: ['stop'],
  numfewshot: ['shots'],
};

/** Throws if `options` is not a plain object or has a name that is not in `known`; the error suggests the name that was meant. */
export function checkKnown(owner: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new Error(`${owner}: options must be a plain object; got ${display(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      throw new Error(
        `${owner}: unknown option '${name}'; ${suggestion(name, known)}Known options: ${known.join(', ')}`,
      );
    }
  }
}

/** The known names that an unknown one may mean; none if none is similar. */
export function meantBy(name: string, known: readonly string[]): string[] {
  const plain = (text: string): string => text.toLowerCase().replace(/[_-]/g, '');
  const wanted = plain(name);
  const isAlias = Object.hasOwn(aliases, wanted);
  let meant = known.filter((each) => plain(each) === wanted);
  if (meant.length === 0 && isAlias)
    meant = known.filter((each) => aliases[wanted]!.includes(each));
  if (meant.length === 0 && known.length > 0) {
    const distances = known.map((each) => editDistance(name, each));
    const least = Math.min(...distances);
    if (least <= name.length / 2) meant = [known[distances.indexOf(least)]!];
  }
  return meant;
}

/** As a question; an empty string if none is similar. */
function suggestion(name: string, known: readonly string[]): string {
  const meant = meantBy(name, known);
  if (meant.length === 0) return '';
  return `did you mean ${meant.map((each) => `'${each}'`).join(' and ')}? `;
}

/** Levenshtein's distance of two names. A package for it would be 1 % of what a page loads. */
function editDistance(a: string, b: string): number {
  let row = Array.from({length: b.length + 1}, (_, j) => j);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + Number(letter !== other)));
    }
    row = next;
  }
  return row.at(-1)!;
}

/** The options that are not undefined, which stands for the default. */
export function definedIn<T extends object>(options: T): T {
  const entries: Array<[string, unknown]> = Object.entries(options);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as T;
}

/** Options as JSON, to be told or to be compared with those of another run: of a function nothing but that it is one, a pattern as text. */
export function comparableOptions(options: object): Record<string, unknown> {
  const comparable = (_: string, value: unknown): unknown =>
    typeof value === 'function' || value instanceof RegExp ? display(value) : value;
  return JSON.parse(JSON.stringify(options, comparable)) as Record<string, unknown>;
}

/** A value as it should stand in an error message, cut where it is long. */
export function display(value: unknown): string {
  return cut(wholeDisplay(value));
}

/** The start of a text that is too long for a message. */
export function cut(text: string, max = 500): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}

function wholeDisplay(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'number' || value === undefined || value === null) return String(value);
  if (value instanceof RegExp) return String(value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'symbol') return String(value);
  try {
    return JSON.stringify(value);
  } catch {
    // It is circular, as a layer is, or has such a thing in it.
    return Array.isArray(value) ? `[${value.map(classOf).join()}]` : classOf(value);
  }
}

/** What an object is, without what it has. */
export function classOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return display(value);
  return `an object of class ${value.constructor?.name ?? 'none'}`;
}

function describeRange({min, max, exclusiveMin, exclusiveMax, integer}: NumberRange): string {
  const bounds: string[] = [];
  if (min !== undefined) bounds.push(`>= ${min}`);
  if (exclusiveMin !== undefined) bounds.push(`> ${exclusiveMin}`);
  if (max !== undefined) bounds.push(`<= ${max}`);
  if (exclusiveMax !== undefined) bounds.push(`< ${exclusiveMax}`);
  const kind = integer ? 'an integer' : 'a number';
  return bounds.length === 0 ? kind : `${kind} ${bounds.join(' and ')}`;
}
