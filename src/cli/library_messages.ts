/**
 * Runs `body`, and sends what the library writes by `console.info` and `console.warn` to `note`, so that it does not get
 * between the lines of a result or into a progress bar.
 */
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
