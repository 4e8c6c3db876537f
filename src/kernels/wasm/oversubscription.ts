/**
 * Whether other programs want the processors, too. Threads that work on the same short calls are slower than one then: each has less of a
 * processor, and a worker that waits for the next call takes from what its caller has.
 *
 * The sign is a caller's part of a short call that takes longer than it can where the caller has a processor to itself. While a decoder
 * wrote on two processors, that was so once in a second on a quiet machine, and fifty times beside two busy programs. How late workers are,
 * and how long it takes to wake them, tells less: on a quiet machine they often are late, too.
 */

/** So much longer than it should take, in milliseconds: other programs have a processor for 3 or 4 at a time. */
const LATE_MS = 2;

/** Late calls within so many milliseconds are no accident. */
const WINDOW_MS = 50;

/** For how long it is then taken to be so: at first, how many times as long as the last time if it still is so after that, and at most. */
const [PAUSE_MS, LONGER, MAX_PAUSE_MS] = [100, 4, 4000];

export class Oversubscription {
  private late = -Infinity;
  private end = -Infinity;
  private pause = PAUSE_MS;

  /** @param now The time, in milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  get isOn(): boolean {
    return this.now() < this.end;
  }

  /** Notes how long the caller's part of a call has taken, and the longest that it should take, in milliseconds. */
  note(took: number, longest: number): void {
    if (took - longest < LATE_MS) return;
    const now = this.now();
    if (now - this.late < WINDOW_MS) {
      const longer = now - this.end < this.pause ? LONGER * this.pause : PAUSE_MS;
      this.pause = Math.min(longer, MAX_PAUSE_MS);
      this.end = now + this.pause;
    }
    this.late = now;
  }
}
