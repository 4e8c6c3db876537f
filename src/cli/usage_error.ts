/** An error in the options, on the command line or in a config file; exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** Runs `check`, and turns its errors into usage errors. */
export function asUsage<T>(check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw cause instanceof UsageError ? cause : new UsageError((cause as Error).message, {cause});
  }
}

/** What an error says, in one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .replace(/^error: /, '')
    .trim()
    .replace(/\s*\n\s*/g, ' ');
}
