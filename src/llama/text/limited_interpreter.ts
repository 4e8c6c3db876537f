import {Interpreter, type Environment} from '@huggingface/jinja';

type Statement = Parameters<Interpreter['evaluate']>[0];
type Value = ReturnType<Interpreter['evaluate']>;
type Method = (args: Value[], scope: Environment) => Value;

/**
 * What a template may cost, in units of one character: five times as much as a chat of 1000 turns costs in the format of
 * LLaMA 3, and two and a half times as much as in that of Qwen 3. A loop that does nothing reaches it in two seconds.
 */
const MAX_WORK = 100_000_000;
/** Milliseconds in which it must be done: more than that work takes, for a machine that is slow, and for work that has no price. */
const LONGEST = 10_000;
/** The cost of a step: a turn of a loop, a statement, a part of an expression. */
const STEP = 300;
/** The cost of an item of a list, and of a field: what it takes of memory. */
const ITEM = 30;
/** The deepest nesting of steps, in calls of macros too, and of lists; a template in use has 40. */
const DEEPEST = 300;
/** More numbers than a template has a use for. */
const LONGEST_RANGE = 100_000;

/** Filters and methods that take no longer for a longer list. */
const CONSTANT = new Set(['safe', 'list', 'first', 'last', 'length', 'default', 'get']);
/** Those that may go through all of a list for each of its items. */
const SORTS = new Set(['sort', 'dictsort']);
/** Those that write as many blanks as a number says. */
const WIDTHS = new Set(['indent', 'tojson']);
/** Statements that write the values of their parts, but for a few. */
const WRITERS = new Set(['Program', 'If', 'For', 'Set', 'FilterStatement']);

/** A statement of the library, and what it calls the parts that matter here. */
interface Node {
  type: string;
  value?: unknown;
  operator?: {value: string};
  object?: Node;
  property?: Node;
  test?: Node;
  assignee?: Node;
  /** Of a loop: `for x in iterable`, or `for x in lhs if test`. */
  iterable?: Node;
  lhs?: Node;
  callee?: Node;
  call?: Node;
  /** A name, or a call of it. */
  filter?: Node;
  args?: Node[];
  argument?: Node;
}

/** A statement that is being evaluated. */
interface Frame {
  node: Node;
  /** The values of its parts so far. */
  values: unknown[];
  /** Characters that it has written. */
  written: number;
  /** Whether it has called a macro, whose body is being evaluated. */
  isInBody: boolean;
}

/**
 * Runs a template of a stranger for a limited number of steps, which make a limited amount of text and of lists, and for a limited
 * time: it could loop without end, double a text sixty times, or build a list of lists that takes years to be written. A single
 * operation cannot be stopped on its way: one that could take too long, or too much memory, is refused before it begins.
 */
export class LimitedInterpreter extends Interpreter {
  private readonly end = performance.now() + LONGEST;
  private work = 0;
  private depth = 0;
  /** The innermost. */
  private frame: Frame | null = null;
  private readonly limitedMethods = new WeakSet();

  override evaluate(statement: Statement, environment: Environment): Value {
    this.spend(STEP);
    if (this.depth === DEEPEST) throw tooDeep();
    const node = (statement ?? {type: ''}) as Node;
    const outer = this.frame;
    const frame: Frame = {node, values: [], written: 0, isInBody: false};
    this.frame = frame;
    this.depth++;
    let result: Value;
    try {
      result = super.evaluate(statement, environment);
    } finally {
      this.frame = outer;
      this.depth--;
    }
    // the library's filters `first` and `last` have no result for an empty list
    result ??= super.evaluate(undefined, environment);
    const value: unknown = result.value;
    if (typeof value === 'string') this.spend(value.length);
    else if (makesList(node)) this.spend(ITEM * countOf(value));
    if (typeof value === 'function') this.limitMethod(result as {value: Method}, frame);
    if (outer) this.use(outer, node, value);
    return result;
  }

  /** A statement gets the value of a part: pays for what it does with it, or refuses that. */
  private use(frame: Frame, part: Node, value: unknown): void {
    const {node, values} = frame;
    const {type, filter, iterable} = node;
    if (iterable && part === (iterable.lhs ?? iterable)) {
      this.spend(STEP * countOf(value));
    } else if (part === (node.call ?? node).callee) {
      frame.isInBody = true;
    } else if (frame.isInBody || writes(node, part)) {
      const size = sizeOf(value);
      this.spend(size);
      frame.written += size;
    } else {
      values.push(value);
    }
    if (type === 'BinaryExpression') this.spend(costOfBinary(node.operator!.value, values));
    else if (type === 'FilterExpression') limit(nameOf(filter!), values[0], values.slice(1));
    else if (type === 'FilterStatement') limit(nameOf(filter!), '', values, frame.written);
    else if (node.property?.type === 'SliceExpression') limit('slice', values[0], []);
  }

  /** A method, or `namespace`, is refused when it is called, which may be later, and often. */
  private limitMethod(method: {value: Method}, {node, values}: Frame): void {
    const isMethod = node.type === 'MemberExpression';
    if (!isMethod && node.value !== 'namespace') return;
    if (this.limitedMethods.has(method)) return;
    this.limitedMethods.add(method);
    const [object, computed = node.property?.value] = values;
    const call = method.value;
    method.value = (args, scope) => {
      if (isMethod) {
        limit(
          String(computed),
          object,
          args.map((each) => each.value),
        );
        const stripped = withoutEnds(object, String(computed), args[0]?.value);
        if (stripped !== null) {
          const {constructor} = call([], scope) as object;
          return new (constructor as new (text: string) => Value)(stripped);
        }
      } else {
        // a text among what it is given as a list is taken apart
        for (const {value} of args) {
          if (Array.isArray(value) && sizeOf(value) * ITEM > MAX_WORK) throw tooMuch();
        }
      }
      return call(args, scope);
    };
  }

  private spend(work: number): void {
    this.work += work;
    if (this.work > MAX_WORK || performance.now() > this.end) throw tooMuch();
  }
}

/** A text without the characters that Python's `strip`, `lstrip` or `rstrip` is given, to which the library's pay no heed; null for others. */
function withoutEnds(text: unknown, method: string, characters: unknown): string | null {
  const isStrip = ['strip', 'lstrip', 'rstrip'].includes(method);
  if (!isStrip || typeof text !== 'string' || typeof characters !== 'string') return null;
  let [from, to] = [0, text.length];
  if (method !== 'rstrip') while (from < to && characters.includes(text[from]!)) from++;
  if (method !== 'lstrip') while (to > from && characters.includes(text[to - 1]!)) to--;
  return text.slice(from, to);
}

/** Whether the value of a part is written as it is. */
function writes(node: Node, part: Node): boolean {
  const {type, test, iterable, value, assignee, filter} = node;
  if (!WRITERS.has(type)) return false;
  if (filter) return !filter.args?.some((each) => [each, each.value, each.argument].includes(part));
  return ![test, iterable?.test, value, assignee?.object].includes(part);
}

function makesList({type, filter, property}: Node): boolean {
  if (type === 'MemberExpression') return property!.type === 'SliceExpression';
  if (type === 'FilterExpression') return !CONSTANT.has(nameOf(filter!));
  return type === 'CallExpression' || type === 'BinaryExpression';
}

function nameOf({callee, value}: Node): string {
  return String(callee ? callee.value : value);
}

/** Throws if a filter or a method may be too much for what it is given. */
function limit(name: string, given: unknown, args: readonly unknown[], size?: number): void {
  if (CONSTANT.has(name)) return;
  const all = size ?? sizeOf(given);
  let factor = SORTS.has(name) ? countOf(given) : 1;
  for (const each of args) {
    factor += WIDTHS.has(name) && typeof each === 'number' ? Math.abs(each) : sizeOf(each);
  }
  // a text may be taken apart
  if (Math.max(all * factor, typeof given === 'string' ? all * ITEM : 0) > MAX_WORK)
    throw tooMuch();
}

function costOfBinary(operator: string, values: readonly unknown[]): number {
  const isWritten = values.some((each) => each !== undefined && typeof each !== 'object');
  if (values.length < 2 || !isWritten) return 0;
  const [left, right] = values.map((each) => sizeOf(each)) as [number, number];
  // a list beside a text is written; what may be in a list is compared with each of its items
  return operator.endsWith('in') && Array.isArray(values[1]) ? left * right : left + right;
}

/** Items of a list, or fields. */
function countOf(value: unknown): number {
  if (Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 0;
}

/**
 * The cost of writing a value: what is in it as often as it is there, and once more for each list around it, which is put together
 * of texts.
 *
 * @throws if it is more than a template may write.
 */
function sizeOf(value: unknown): number {
  let size = 0;
  const add = (each: unknown, depth: number): void => {
    size += depth * (typeof each === 'string' ? each.length : 1);
    if (size > MAX_WORK) throw tooMuch();
    if (countOf(each) === 0) return;
    if (depth > DEEPEST) throw tooDeep();
    for (const item of (each as Value[] | Map<string, Value>).values()) {
      size += depth * ITEM;
      add((item as Value | undefined)?.value, depth + 1);
    }
  };
  add(value, 1);
  return size;
}

function tooMuch(): Error {
  return new Error(
    'it runs too long or writes too much; take the template of a model that you trust, or mend its loops',
  );
}

function tooDeep(): Error {
  return new Error(`it is nested more than ${DEEPEST} deep; does a macro call itself for ever?`);
}

/** Python's `range`. */
export function limitedRange(start: unknown, stop?: unknown, step: unknown = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  if (typeof from !== 'number' || typeof to !== 'number' || typeof step !== 'number') {
    throw new Error('range() must have one to three numbers');
  }
  if (step === 0) throw new Error('range() must have a step other than 0');
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (!(length <= LONGEST_RANGE)) {
    throw new Error(`range() must have at most ${LONGEST_RANGE} numbers; got ${length}`);
  }
  return Array.from({length}, (_, i) => from + i * step);
}
