/** Once a process: whoever says a line does not know the others. */
const said = new Set<string>();
/** Whether {@link withoutLines} runs. */
let isSilent = false;

/**
 * Writes a line to the console, unless one like it was written before in this process, apart from the numbers that tfjs gives to layers:
 * ten folds of a validation say once what holds for each.
 */
export function sayOnce(level: 'info' | 'warn', line: string): void {
  if (isSilent) return;
  const key = withoutLayerNumbers(line);
  if (said.has(key)) return;
  said.add(key);
  if (level === 'info') console.info(line);
  else console.warn(line);
}

/** Runs `body` without lines. What it would say is still to be said. */
export function withoutLines<T>(body: () => T): T {
  const before = isSilent;
  isSilent = true;
  try {
    return body();
  } finally {
    isSilent = before;
  }
}

/** Begins as a new process does: for tests. */
export function forgetLines(): void {
  said.clear();
}

/**
 * A text without the numbers of layers and models that tfjs has named, such as `dense_Dense3`, `sequential_2` and `model4`: it counts
 * those that a program has made of each class.
 */
export function withoutLayerNumbers(text: string): string {
  // With the lookbehind a stranger's name of many digits takes no longer than another one.
  return text.replace(/\b([a-z\d_]+_[A-Z][A-Za-z\d]*?(?<!\d)|sequential_|model)\d+\b/g, '$1');
}
