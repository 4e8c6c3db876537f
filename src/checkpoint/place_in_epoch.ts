/** Where in an epoch a training goes on that was resumed: `fit` begins to count batches anew, but data go on in their pass. */
import type {ResumableOptimizer} from './parts';

/** A place in a training by `fit`. */
export interface PlaceInEpoch {
  /** Epochs that are complete. */
  epoch: number;
  /** Batches of the next one that are done. */
  batches: number;
}

/** By optimizer, see {@link rememberPlace}. */
const places = new WeakMap<ResumableOptimizer, PlaceInEpoch & {progress: string}>();

/** Changes with every call of an optimizer. */
export function progressOf({iterations, accumulated}: ResumableOptimizer): string {
  return `${iterations}, ${accumulated}`;
}

/** Remembers where a training goes on. By its optimizer: the model that `fit` trains is a part of a `tf.Sequential`. */
export function rememberPlace(optimizer: ResumableOptimizer, {epoch, batches}: PlaceInEpoch): void {
  places.set(optimizer, {epoch, batches, progress: progressOf(optimizer)});
}

/** Batches of an epoch that were done before the training was resumed; 0 if the optimizer has been called since. */
export function batchesDone(optimizer: ResumableOptimizer, epoch: number): number {
  const place = places.get(optimizer);
  const isThere = place?.epoch === epoch && place.progress === progressOf(optimizer);
  return isThere ? place.batches : 0;
}
