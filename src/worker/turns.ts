import {nextTurn} from '../common/next_turn';

/** For loops of short rounds, of which a turn each would be a part that one notices: one a `milliseconds`. */
export function turnEvery(milliseconds: number): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < milliseconds) return;
    await nextTurn();
    last = performance.now();
  };
}

/** What needs the model takes turns: one after the other, in the order in which it came. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  /** Calls `body` when all before it have ended. */
  take<T>(body: () => T | Promise<T>): Promise<T> {
    const turn = this.last.then(body);
    this.last = turn.catch(() => undefined);
    return turn;
  }
}
