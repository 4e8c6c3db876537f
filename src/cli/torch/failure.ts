/** Why processes of Python have failed, from what they and torchrun have written to one log. */

/** What finetune.py's line starts with when a process has failed (python/owlore/events.py). */
const OWN = /^finetune\.py has failed: (.*)/;
/** What C++ says before it aborts a process, with the place in the source behind it. */
const ABORTED = /^\s*what\(\): +(?:\[(?:enforce fail at )?\S+:\d+\] *)?(.*)/;
/** How torchrun says that a process was ended by a signal. */
const SIGNAL = /Signal \d+ \(SIG\w+\) received.*/;
/** What a process says that has lost another one, which has failed before it. */
const LOST =
  /connection (?:was )?(?:closed|reset|refused)|broken pipe|socket closed|remote process exited|ncclRemoteError|pair closure/i;
/** The last line of a traceback. */
const EXCEPTION = /^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit|Found|Unavailable)(?::.*)?$/;

/**
 * The cause of a failure: what the first process has said that did not fail by the failure of another one; null if nothing was said.
 *
 * @param lines Of the log, in the order in which all processes have written them.
 */
export function causeIn(lines: readonly string[]): string | null {
  const told = lines.flatMap((line) => (OWN.exec(line) ?? ABORTED.exec(line))?.[1] ?? []);
  const own = told.find((line) => !LOST.test(line));
  if (own !== undefined) return own;
  const signals = lines.flatMap((line) => SIGNAL.exec(line)?.[0] ?? []);
  // torchrun sends SIGTERM itself to all others, and says last by which process it began
  const signal = signals.find((line) => !line.includes('SIGTERM')) ?? signals.at(-1);
  if (signal !== undefined)
    return signal.includes('SIGKILL') ? `${signal}, as when there is no memory left` : signal;
  // Python itself, or torchrun
  const raised = lines.find((line) => EXCEPTION.test(line) && !line.includes('ChildFailedError'));
  return told[0] ?? raised ?? lines.find((line) => /^\S+: error: /.test(line)) ?? null;
}
