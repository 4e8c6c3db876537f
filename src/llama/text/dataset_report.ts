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
