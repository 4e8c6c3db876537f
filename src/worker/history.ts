/** What was said of the steps of a training, as a page hears it and a checkpoint keeps it. */
import type {HistoryEntry, Outcome} from './events';

/** What a checkpoint has beside what `saveCheckpoint` keeps. */
export interface CheckpointExtra {
  /** Losses that are not finite are null, as JSON has no others. */
  history: HistoryEntry[];
}

export class History {
  private readonly said: HistoryEntry[] = [];
  /** How many of them the newest checkpoint has. */
  private kept = 0;

  /** @param tell Called with each entry that is added. */
  constructor(private readonly tell: (entry: HistoryEntry) => void) {}

  add(entry: HistoryEntry): void {
    this.said.push(entry);
    this.tell(entry);
  }

  get entries(): HistoryEntry[] {
    return [...this.said];
  }

  /** Whether there is an entry of a step. */
  has(event: HistoryEntry['event'], step: number): boolean {
    return this.said.some((entry) => entry.event === event && entry.data.step === step);
  }

  /** The newest; null before there is any. */
  get heldOutLoss(): number | null {
    return this.outcome(0, 0).heldOut;
  }

  /** What a training of `steps` steps has come to, `step` of which are made. */
  outcome(step: number, steps: number): Outcome {
    let [loss, seconds] = [NaN, 0];
    let heldOut: number | null = null;
    for (const {event, data} of this.said) {
      if (event === 'step') [loss, seconds] = [data.loss, seconds + data.seconds];
      if (event === 'heldOut') heldOut = data.loss;
    }
    return {step, steps, loss, heldOut, seconds, stopped: step < steps};
  }

  /** All of it, for a checkpoint. */
  keep(): CheckpointExtra {
    this.kept = this.said.length;
    return {history: this.said.map(asJson)};
  }

  /** What was added since {@link History.keep}. */
  keepSince(): HistoryEntry[] {
    return this.said.slice(this.kept).map(asJson);
  }

  /** Takes over what a checkpoint has, and what was added since, which nobody is told again. */
  goOnFrom({history}: CheckpointExtra, since: readonly HistoryEntry[] = []): void {
    const entries = [...history, ...since].map((entry) => withLoss(entry, (loss) => loss ?? NaN));
    this.said.push(...entries);
    this.kept = history.length;
  }
}

/** A number as JSON has it. */
export function finite(value: number | null): number | null {
  return Number.isFinite(value) ? value : null;
}

function asJson(entry: HistoryEntry): HistoryEntry {
  return withLoss(entry, finite);
}

function withLoss(
  entry: HistoryEntry,
  change: (loss: number | null) => number | null,
): HistoryEntry {
  if (entry.event !== 'step' && entry.event !== 'heldOut') return entry;
  return {...entry, data: {...entry.data, loss: change(entry.data.loss)}} as HistoryEntry;
}
