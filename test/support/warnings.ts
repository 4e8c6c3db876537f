/** Runs `body` and returns what it said by `console.warn`. */
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
