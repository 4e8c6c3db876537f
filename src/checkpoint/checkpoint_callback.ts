import * as tf from '@tensorflow/tfjs-core';
// By name: Vite keeps a class in every bundle that extends a member of a namespace.
import {Callback, type Logs} from '@tensorflow/tfjs-layers';
import {openSink} from '../files/open_sink';
import type {ModelTarget} from '../files/sink';
import {checkKnown, checkNumber, display} from '../common/options';
import {batchesOfEpoch, beforeEachBatch, keepHooks, wasStopped, watchFits} from '../tfjs/fit';
import {
  checkParts,
  type CheckpointParts,
  type ResumableCallback,
  type ResumableData,
  type ResumableOptimizer,
} from './parts';
import {batchesDone} from './place_in_epoch';
import {placeOf, writeCheckpoint, type SavedCheckpoint} from './save_checkpoint';

/** Options of {@link CheckpointCallback}. */
export interface CheckpointCallbackOptions {
  /** A folder (in Node), a `FileSystemDirectoryHandle`, or a map that takes the files. */
  target: ModelTarget;
  /** The callback that samples layers in the same `fit`, if there is one. Default none. */
  callback?: ResumableCallback;
  /** The data of the `fitDataset`, if they can say where they stand, as a `TextDataset` can. Default none. */
  data?: ResumableData;
  /** Steps of the optimizer from one checkpoint to the next, ≥ 1; `'epoch'`: one at the end of each epoch. Default `'epoch'`. */
  every?: number | 'epoch';
  /** How many of the newest checkpoints stay, ≥ 1. Default 3. */
  keep?: number;
  /**
   * A number in the logs of epochs, such as `'val_loss'`: the checkpoint with the lowest one stays, too, and
   * `resumeCheckpoint(…, {which: 'best'})` finds it. With it there is a checkpoint at the end of each epoch. Default none.
   */
  best?: string;
  /** Called after each checkpoint. Default none. */
  onSave?: (saved: SavedCheckpoint) => void;
}

const OWNER = 'CheckpointCallback';

/**
 * Saves checkpoints during `fit` and `fitDataset`, for `resumeCheckpoint`. It works beside a {@link LayerSamplingCallback} and any
 * other callback, and with an {@link OwLoreOptimizer}.
 *
 * ```ts
 * const resumed = await resumeCheckpoint('run', {model, optimizer, callback, data});
 * await model.fitDataset(data, {
 *   epochs: 3,
 *   initialEpoch: resumed?.epoch ?? 0,
 *   callbacks: [callback, new CheckpointCallback({target: 'run', callback, data, every: 50})],
 * });
 * ```
 *
 * An epoch that `model.stopTraining = true` ends before its last batch is not complete: the training goes on in it. Its checkpoint
 * has no `best`. With `batchesPerEpoch` tfjs counts anew after that; docs/checkpoints.md says how to train the rest of the epoch.
 *
 * `fit` begins each epoch with its first example, and shuffles by `Math.random`: to go on exactly, use `every: 'epoch'` and
 * `shuffle: false`, or `fitDataset` with data that know their place.
 */
export class CheckpointCallback extends Callback {
  private readonly options: CheckpointCallbackOptions & {every: number | 'epoch'; keep: number};
  /** Epochs that are complete. */
  private epoch = 0;
  /** Batches of the present epoch that are done. */
  private batches = 0;
  /** Those of them that were done before this `fit`. */
  private batchesBefore = 0;
  /** Batches of the longest epoch that this `fit` has completed; 0: none. */
  private maxBatches = 0;
  /** Where callback and data stood after the last batch, if a checkpoint of it is due. */
  private due: ReturnType<typeof placeOf> | null = null;

  /** @throws Error that names the option, its value and what is allowed. */
  constructor(options: CheckpointCallbackOptions) {
    super();
    checkKnown(OWNER, options, ['target', 'callback', 'data', 'every', 'keep', 'best', 'onSave']);
    const {target, every = 'epoch', keep = 3, best} = options;
    openSink(OWNER, target); // which throws if it is none
    if (every !== 'epoch') checkNumber(OWNER, 'every', every, {integer: true, min: 1});
    checkNumber(OWNER, 'keep', keep, {integer: true, min: 1});
    if (best !== undefined && typeof best !== 'string') {
      throw new Error(
        `${OWNER}: best must be the name of a number in the logs, such as 'val_loss'; got ${display(best)}`,
      );
    }
    this.options = {...options, every, keep};
    keepHooks(this);
    watchFits();
  }

  /** @throws Error if the model's optimizer is no {@link OwLoreOptimizer}. */
  override async onTrainBegin(): Promise<void> {
    checkReceiver(this);
    checkParts(OWNER, this.parts);
    this.maxBatches = 0;
    this.due = null; // of a fit that threw
    // Before the sampling callback begins the next period: it draws by the weights, and packs some.
    beforeEachBatch(this, () => this.saveIfDue());
  }

  /** Remembers the epoch. */
  override async onEpochBegin(epoch: number): Promise<void> {
    checkReceiver(this);
    this.epoch = epoch;
    const {data, optimizer} = this.parts;
    // Data that do not know their place begin the epoch with their first batch.
    this.batchesBefore = data ? batchesDone(optimizer, epoch) : 0;
    this.batches = this.batchesBefore;
  }

  /** Remembers where callback and data stand if a checkpoint is due. */
  override async onBatchEnd(): Promise<void> {
    checkReceiver(this);
    this.batches++;
    const {every} = this.options;
    const {iterations, accumulated} = this.parts.optimizer;
    // By the number of the step, so that a run that goes on has its checkpoints where the whole one has them.
    const isDue = every !== 'epoch' && accumulated === 0 && iterations % every === 0;
    this.due = isDue ? placeOf(this.parts) : null;
  }

  /** Saves if a checkpoint is due. */
  override async onEpochEnd(epoch: number, logs: Logs = {}): Promise<void> {
    checkReceiver(this);
    const isComplete = this.isComplete(logs);
    if (isComplete) {
      this.epoch = epoch + 1;
      this.maxBatches = Math.max(this.maxBatches, this.batches);
      this.batches = 0;
    }
    const {every, best} = this.options;
    const isDue = every === 'epoch' || best !== undefined || this.due !== null;
    this.due = null;
    if (!isDue) return;
    // Where it was stopped, tfjs may have left out the validation.
    const isMeasured = best !== undefined && isComplete && (best in logs || !wasStopped(this));
    const metric = isMeasured ? await numberIn(logs, best) : NaN;
    // the loss of a model that has diverged is not the best
    await this.save(placeOf(this.parts), Number.isFinite(metric) ? metric : undefined);
  }

  /** Whether the epoch that ends has had all of its batches. */
  private isComplete(logs: Logs): boolean {
    // What tfjs validates is complete.
    if (!wasStopped(this) || 'val_loss' in logs) return true;
    const {batches, batchesBefore, maxBatches} = this;
    const size = this.options.data?.size;
    const perEpoch = batchesOfEpoch(this);
    // What is not the data's size, such as batchesPerEpoch, tfjs counts from where the fit begins.
    if (perEpoch !== null && perEpoch !== size) return batches - batchesBefore >= perEpoch;
    // A fit that does not know how many batches an epoch has is judged by those it has completed.
    return batches >= ([size, maxBatches].find((count = 0) => count > 0) ?? Infinity);
  }

  private get parts(): CheckpointParts {
    const {callback, data} = this.options;
    const optimizer = this.model.optimizer as ResumableOptimizer;
    return {model: this.model, optimizer, callback, data};
  }

  /** Saves what was due after the last batch: whether that was the last one of its epoch is known only when the next one begins. */
  private async saveIfDue(): Promise<void> {
    if (this.due) await this.save(this.due);
    this.due = null;
  }

  private async save(place: ReturnType<typeof placeOf>, metric?: number): Promise<void> {
    const {target, keep, onSave} = this.options;
    const {epoch, batches} = this;
    const saved = await writeCheckpoint(target, this.parts, place, {keep, metric, epoch, batches});
    onSave?.(saved);
  }
}

/** A number in the logs of an epoch, where it may be a scalar. */
async function numberIn(logs: Logs, name: string): Promise<number> {
  const value: unknown = logs[name];
  if (typeof value === 'number') return value;
  if (value instanceof tf.Tensor) return (await value.data())[0]!;
  throw new Error(
    `${OWNER}: best is '${name}', which is not in the logs; they have ${Object.keys(logs).join(', ')}`,
  );
}

/** Throws if `fit` calls the callback's methods on an object of its own. */
function checkReceiver(receiver: unknown): void {
  if (receiver instanceof CheckpointCallback) return;
  throw new Error(
    `${OWNER}: fit() calls this callback as a plain object of functions: it was copied ({...callback}), or comes from another copy of ` +
      '@tensorflow/tfjs-layers. Pass it as it is: callbacks: [callback, {onEpochEnd: …}]',
  );
}
