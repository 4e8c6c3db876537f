/** Puts the library's messages, by `console.info` and `console.warn`, in their place. */

/** Runs `body`; messages meanwhile go to `note`, so that they do not break into a result or a bar. */
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
