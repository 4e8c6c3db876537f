/** What the library says by `console.info` and `console.warn`, in its place. */

/** Runs `body`; what is said meanwhile goes to `note`, and not between a result or a bar. */
export async function withLibraryMessages<T>(
  note: (line: string) => void,
  body: () => Promise<T>,
): Promise<T> {
  const {info, warn} = console;
  console.info = (...message: unknown[]) => note(message.join(' '));
  console.warn = (...message: unknown[]) => note(`warning: ${message.join(' ')}`);
  try {
    return await body();
  } finally {
    Object.assign(console, {info, warn});
  }
}
