/** Runs the tests that a page has loaded, and sends their results to the page's server. mocha is a script of the page. */

/** What the page posts to `/progress`: a test that has ended, or a title of tests. */
export interface Progress {
  /** Titles of the suites around it, and its own. */
  path: string[];
  state: 'passed' | 'failed' | 'skipped';
  milliseconds: number;
  /** What went wrong. */
  error?: string;
}

/** What the page reports in the end. */
export type Counts = Record<Progress['state'], number>;

/** @param more What is reported beside the counts. */
export function runMocha(more: object = {}): void {
  const report = {...more, passed: 0, failed: 0, skipped: 0};
  const count = (test: Mocha.Test, state: Progress['state'], error?: Error): void => {
    report[state]++;
    const progress: Progress = {path: test.titlePath(), state, milliseconds: test.duration ?? 0};
    if (error) progress.error = error.stack ?? error.message;
    send('/progress', progress);
  };
  mocha
    .run()
    .on('pass', (test) => count(test, 'passed'))
    .on('pending', (test) => count(test, 'skipped'))
    .on('fail', (test, error: Error) => count(test, 'failed', error))
    .on('end', () => send('/report', report));
}

export function send(path: string, body: unknown): void {
  void fetch(path, {method: 'POST', body: JSON.stringify(body)});
}
