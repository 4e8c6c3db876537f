import {isObject, show} from '../../files/json';
import {checkNumber, countRange} from '../../common/options';

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
  /** Examples that were cut or dropped, by line: the first 100 that came. */
  problems: Array<{line: number; kind: 'cut' | 'dropped'; reason: string}>;
}

const MAX_PROBLEMS = 100;

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
    Number.isSafeInteger(problem['line']) &&
    ['cut', 'dropped'].includes(problem['kind'] as string) &&
    typeof problem['reason'] === 'string';
  const isList =
    Array.isArray(problems) && problems.length <= MAX_PROBLEMS && problems.every(isProblem);
  if (isComplete !== false || !isList) {
    throw new Error(
      `${owner}: report must be that of a pass that goes on, with isComplete and a list of at most ${MAX_PROBLEMS} ` +
        `problems {line, kind, reason}; got ${show(value)}`,
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
  kind: 'cut' | 'dropped',
  reason: string,
): void {
  report[kind]++;
  if (report.problems.length < MAX_PROBLEMS) report.problems.push({line, kind, reason});
}
