/** Whether a training goes on, waits or ends, as its page wants it. */
interface Waiting {
  resolve(): void;
  reject(error: unknown): void;
}

export class Pace {
  private now: 'run' | 'pause' | 'stop' = 'run';
  /** Who waits until the training does. */
  private readonly waiting: Waiting[] = [];
  /** Ends the rest; null while there is none. */
  private goOn: (() => void) | null = null;

  /** What is wanted after the step that is being made. */
  get wanted(): 'run' | 'pause' | 'stop' {
    return this.now;
  }

  /** Has the training wait, unless it is to end. Resolves when it does; rejects with what `rest` is given. */
  async pause(): Promise<void> {
    if (this.now === 'run') this.now = 'pause';
    if (this.goOn) return;
    await new Promise<void>((resolve, reject) => this.waiting.push({resolve, reject}));
  }

  resume(): void {
    if (this.now === 'pause') this.now = 'run';
    this.goOn?.();
  }

  stop(): void {
    this.now = 'stop';
    this.goOn?.();
  }

  /**
   * Waits until the training is to go on, or to end.
   *
   * @param failure Why it waits, if nobody asked for that, or what could not be done before.
   */
  async rest(failure: Error | null, onRest: () => void): Promise<void> {
    if (this.now === 'stop') return;
    this.now = 'pause';
    const ended = new Promise<void>((resolve) => (this.goOn = resolve));
    onRest();
    for (const {resolve, reject} of this.waiting.splice(0))
      if (failure) reject(failure);
      else resolve();
    await ended;
    this.goOn = null;
  }
}
