/** When a checkpoint is due in a training that was not told after how many steps. */

/** The part of the time that saving may take. */
const SHARE = 0.05;

/** Seconds that a save is taken to last at least. */
const LEAST = 1;

/** Seconds until the first one: before it, a training that ends begins anew. */
const FIRST = 5;

export class SavePace {
  private since = 0;
  /** Null before the first save. */
  private lasted: number | null = null;

  /** @param now The time, in seconds. */
  constructor(private readonly now: () => number = () => performance.now() / 1000) {}

  /** From now on the training goes on. */
  begin(): void {
    this.since = this.now();
  }

  /** Whether the training has gone on for so long that saving again, as long as the last time, takes no more than its share. */
  get isDue(): boolean {
    const {lasted} = this;
    return this.now() - this.since >= (lasted === null ? FIRST : lasted * (1 / SHARE - 1));
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
