/** When a checkpoint is due in a training that was not told after how many steps. */

/** The part of the time that saving may take. */
const SHARE = 0.05;

/** Seconds that a save is taken to last at least, and the first one before it was made. */
const LEAST = 1;

export class SavePace {
  private since = 0;
  private lasted = LEAST;

  /** @param now The time, in seconds. */
  constructor(private readonly now: () => number = () => performance.now() / 1000) {}

  /** From now on the training goes on. */
  begin(): void {
    this.since = this.now();
  }

  /** Whether the training has gone on for so long that saving again, as long as the last time, takes no more than its share. */
  get isDue(): boolean {
    return this.now() - this.since >= this.lasted * (1 / SHARE - 1);
  }

  /** Measures a save. One that fails leaves the next one due. */
  async measure<T>(save: () => Promise<T>): Promise<T> {
    const start = this.now();
    const saved = await save();
    this.begin();
    this.lasted = Math.max(LEAST, this.since - start);
    return saved;
  }
}
