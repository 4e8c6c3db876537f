import {isObject, show} from '../../files/json';
import {checkNumber, countRange, cut} from '../../common/options';
import {ExampleError} from './example_error';

/** What became of the examples of a pass, as plain JSON. */
export interface DatasetReport {
  /** Which pass it is about, from 0. */
  epoch: number;
  /** Whether the pass has come to its end. */
  isComplete: boolean;
  /** Examples that are in batches, or will be when their row is full. */
  used: number;
  /** Those of them whose end did not fit. */
  cut: number;
  /** Examples that could not be used. */
  dropped: number;
  batches: number;
  /** Tokens in the batches, without padding. */
  tokens: number;
  /** Those of them that the loss counts. */
  learnedTokens: number;
  /** What was wrong with those that were cut or dropped: the first 100 kinds that came. */
  problems: DataProblem[];
}

/** What was wrong with some examples. */
export interface DataProblem {
  /** What became of them. */
  kind: 'cut' | 'dropped';
  /** What they have in common. */
  reason: string;
  /** How many they are. */
  count: number;
  /** The line in which the first of them begins. */
  line: number;
  /** What is wrong with that one. */
  example: string;
}

const MAX_PROBLEMS = 100;
/** Texts of a kind or an example are no longer: it may be in a checkpoint. */
const MAX_CHARACTERS = 500;

/** The report of a pass that begins. */
export function emptyReport(epoch: number): DatasetReport {
  return {
    epoch,
    isComplete: false,
    used: 0,
    cut: 0,
    dropped: 0,
    batches: 0,
    tokens: 0,
    learnedTokens: 0,
    problems: [],
  };
}

/** Throws unless a value, which may be a stranger's, is the report of a pass that has not come to its end. */
export function checkReport(owner: string, value: unknown): asserts value is DatasetReport {
  const {isComplete, problems, ...counts} = isObject(value) ? value : {};
  const isProblem = (problem: unknown): boolean =>
    isObject(problem) &&
    ['line', 'count'].every((name) => Number.isSafeInteger(problem[name])) &&
    ['cut', 'dropped'].includes(problem['kind'] as string) &&
    ['reason', 'example'].every((name) => typeof problem[name] === 'string');
  const isList =
    Array.isArray(problems) && problems.length <= MAX_PROBLEMS && problems.every(isProblem);
  if (isComplete !== false || !isList) {
    throw new Error(
      `${owner}: report must be that of a pass that goes on, with isComplete and a list of at most ${MAX_PROBLEMS} ` +
        `problems {kind, reason, count, line, example}; got ${show(value)}`,
    );
  }
  const {isComplete: _, problems: __, ...expected} = emptyReport(0);
  for (const name of Object.keys(expected)) {
    checkNumber(owner, `report.${name}`, counts[name], countRange);
  }
}

/** Counts an example that was cut or dropped. */
export function addProblem(
  report: DatasetReport,
  line: number,
  kind: DataProblem['kind'],
  error: Error,
): void {
  report[kind]++;
  const reason = cut(error instanceof ExampleError ? error.kind : error.message, MAX_CHARACTERS);
  const example = cut(error.message, MAX_CHARACTERS);
  const known = report.problems.find((each) => each.kind === kind && each.reason === reason);
  if (known) {
    known.count++;
    // examples come in any order
    if (line < known.line) Object.assign(known, {line, example});
  } else if (report.problems.length < MAX_PROBLEMS) {
    report.problems.push({kind, reason, count: 1, line, example});
  }
}

/** The problems of a report, the worst first. */
export function worstFirst(problems: readonly DataProblem[]): DataProblem[] {
  const isDropped = ({kind}: DataProblem): number => Number(kind === 'dropped');
  return [...problems].sort(
    (a, b) => isDropped(b) - isDropped(a) || b.count - a.count || a.line - b.line,
  );
}

/** A problem as a line: `3 dropped, the first in line 7: 'answer' is empty`. */
export function problemText({kind, count, line, example}: DataProblem): string {
  return `${count} ${kind}, ${count === 1 ? 'in' : 'the first in'} line ${line}: ${example}`;
}
