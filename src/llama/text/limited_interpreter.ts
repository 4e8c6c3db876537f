import {Interpreter, type Environment} from '@huggingface/jinja';

type Statement = Parameters<Interpreter['evaluate']>[0];
type Value = ReturnType<Interpreter['evaluate']>;

/**
 * What a template may cost, in units of one character: eight times as much as a chat of 1000 turns costs in the format of
 * LLaMA 3. A loop that does nothing reaches it in two seconds.
 */
const MOST_WORK = 100_000_000;
/** The cost of a step: a turn of a loop, a statement, a part of an expression. */
const STEP = 300;
/** The deepest nesting of steps, in calls of macros too; a template in use has 40. */
const DEEPEST = 300;
/** More numbers than a template has a use for. */
const LONGEST_RANGE = 100_000;

/** A loop, as the library has it: `for x in iterable` or `for x in lhs if test`. */
interface Loop {
  type: string;
  iterable?: {lhs?: object};
}

/**
 * Runs a template of a stranger for a limited number of steps, which make a limited amount of text: it could loop without end,
 * double a text sixty times, or build a list of lists that takes years to be written.
 */
export class LimitedInterpreter extends Interpreter {
  private work = 0;
  private depth = 0;
  /** What loops go through. */
  private readonly iterables = new WeakSet();

  override evaluate(statement: Statement, environment: Environment): Value {
    this.spend(STEP);
    const {type, iterable} = (statement ?? {type: ''}) as Loop;
    if (type === 'For') this.iterables.add(iterable!.lhs ?? iterable!);
    const result = this.deeper(() => super.evaluate(statement, environment));
    // the library's filter `first` has no result for an empty list
    const value: unknown = (result as Value | undefined)?.value;
    if (typeof value === 'string') this.spend(value.length);
    else this.spendOn(value, this.iterables.has(statement!) ? STEP : 1);
    return result;
  }

  private deeper(evaluate: () => Value): Value {
    if (this.depth === DEEPEST) {
      throw new Error(`it is nested more than ${DEEPEST} deep; does a macro call itself for ever?`);
    }
    this.depth++;
    try {
      return evaluate();
    } finally {
      this.depth--;
    }
  }

  /** Pays for all that is in a list or an object, as often as it is there: so often it would be written. */
  private spendOn(value: unknown, each: number): void {
    if (!Array.isArray(value) && !(value instanceof Map)) return;
    for (const item of value.values() as Iterable<Value | undefined>) {
      this.spend(each);
      this.spendOn(item?.value, 1);
    }
  }

  private spend(work: number): void {
    this.work += work;
    if (this.work <= MOST_WORK) return;
    throw new Error(
      'it runs too long or writes too much; take the template of a model that you trust, or mend its loops',
    );
  }
}

/** Python's `range`. */
export function limitedRange(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  if (step === 0) throw new Error('range() must have a step other than 0');
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (!(length <= LONGEST_RANGE)) {
    throw new Error(`range() must have at most ${LONGEST_RANGE} numbers; got ${length}`);
  }
  return Array.from({length}, (_, i) => from + i * step);
}
