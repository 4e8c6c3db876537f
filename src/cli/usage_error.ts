/** What is wrong with the command line or the config file, and not with what was to be done. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** Runs checks, and turns their errors into usage errors. */
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
