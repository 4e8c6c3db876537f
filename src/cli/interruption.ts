/** What ends a command early: Ctrl-C, `kill` and a terminal that is closed. */

/** The signals that stop a command, with its exit code: 128 and the signal's number, as in shells. */
export const stopSignals = {SIGHUP: 129, SIGINT: 130, SIGTERM: 143} as const;

export type StopSignal = keyof typeof stopSignals;

/** A command has ended because it was told to stop. */
export class StoppedError extends Error {
  override name = 'StoppedError';

  constructor(
    readonly stopSignal: StopSignal,
    /** How far it had come: `after step 3 of 10`. */
    progress = '',
    /** What it has done until then, for `--json`. */
    readonly result: object = {},
  ) {
    super(['stopped by', stopSignal, progress].filter(Boolean).join(' '));
  }
}

/** Milliseconds in which the same signal is one request: npx may pass on a Ctrl-C that the terminal has sent to all processes. */
const ONE_REQUEST = 200;

/**
 * Passes signals on to the command that is running. By default a signal ends the process at once; a command can ask for time to
 * stop tidily, and then only the second signal does. A command can also have a part that Ctrl-C ends alone.
 */
export class Interruption {
  private readonly controller = new AbortController();
  private isTidy = false;
  private last: {name: StopSignal; time: number} | null = null;
  /** Of the part that is running. */
  private part: AbortController | null = null;

  /** @param exit Ends the process. */
  constructor(private readonly exit: (code: number) => void = () => undefined) {}

  /** Aborted by the first signal that is meant for the command, with a `StoppedError`. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** A signal has come. */
  receive(name: StopSignal): void {
    const {last, part} = this;
    const time = performance.now();
    if (last?.name === name && time - last.time < ONE_REQUEST) return;
    this.last = {name, time};
    if (part && name === 'SIGINT' && !part.signal.aborted) {
      part.abort(new StoppedError(name));
      return;
    }
    const isSecond = this.signal.aborted;
    this.controller.abort(new StoppedError(name));
    if (isSecond || !this.isTidy) this.exit(stopSignals[name]);
  }

  /** Runs `body`, which looks at `signal` and stops by itself when that is aborted. */
  async stopTidily<T>(body: () => Promise<T>): Promise<T> {
    this.isTidy = true;
    try {
      return await body();
    } finally {
      this.isTidy = false;
    }
  }

  /**
   * Runs a part of a command, after which the command goes on even if Ctrl-C has aborted the part's signal. A second Ctrl-C, and any
   * other signal, is meant for the command.
   */
  async endPart<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.part = new AbortController();
    try {
      return await body(this.part.signal);
    } finally {
      this.part = null;
    }
  }
}
