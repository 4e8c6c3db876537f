/**
 * A test that makes the library warn says so with `expectWarning`; any other `console.warn` fails the
 * test that it comes in (`hooks.ts` sees to that).
 */
const seen: string[] = [];
const expected: RegExp[] = [];

/** The running test must print a warning that matches `pattern`; once each for several calls. */
export function expectWarning(pattern: RegExp): void {
  expected.push(pattern);
}

/** Puts a recorder in the place of `console.warn`. */
export function recordWarnings(): void {
  console.warn = (...args: unknown[]) => {
    seen.push(args.map(String).join(' '));
  };
}

/** Starts anew, after a test that failed for another reason. */
export function forgetWarnings(): void {
  seen.length = 0;
  expected.length = 0;
}

/** Throws unless exactly the expected warnings have come since the last call, then starts anew. */
export function checkWarnings(): void {
  const warnings = seen.splice(0);
  const patterns = expected.splice(0);
  const missing = patterns.filter((pattern) => {
    const index = warnings.findIndex((warning) => pattern.test(warning));
    if (index >= 0) warnings.splice(index, 1);
    return index < 0;
  });
  if (warnings.length > 0) {
    throw new Error(
      `unexpected console.warn: ${warnings.join('\n')}\n(a test that means it calls expectWarning(/.../) of test/support/warnings)`,
    );
  }
  if (missing.length > 0) throw new Error(`expected a console.warn like ${missing.join(', ')}`);
}

/** Runs `body` and returns what it said by `console.warn`, for tests of the exact wording. */
export function captureWarnings(body: () => void): string[] {
  const warnings: string[] = [];
  const {warn} = console;
  console.warn = (message: string) => warnings.push(message);
  try {
    body();
  } finally {
    console.warn = warn;
  }
  return warnings;
}

/** Runs `body`; gives back its result, and the lines that it printed by `console.info`. */
export async function captureInfo<T>(
  body: () => T | Promise<T>,
): Promise<{result: T; lines: string[]}> {
  const lines: string[] = [];
  const {info} = console;
  console.info = (line: string) => lines.push(line);
  try {
    return {result: await body(), lines};
  } finally {
    console.info = info;
  }
}
