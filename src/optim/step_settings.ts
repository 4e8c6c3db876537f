import * as tf from '@tensorflow/tfjs-core';

/** What is the same for all variables in one step. */
export interface StepSettings {
  learningRate: number;
  /** Scalar that every gradient is multiplied by; null: 1. */
  clip: tf.Tensor | null;
  /** Boolean scalar, false where nothing may change; null: true. See {@link FiniteCheck}. */
  mask: tf.Tensor | null;
  /** Called with the variable's name after its basis was computed anew. */
  onRefresh(variable: string): void;
}

type Mask = Pick<StepSettings, 'mask'>;

/** `next`, or `old` where the mask says that nothing may change. */
export function allowed<T extends tf.Tensor>({mask}: Mask, next: T, old: T): T {
  return mask ? tf.where(mask, next, old) : next;
}

/** What `compute` makes of `old`, which is freed, to be kept in its place: `old` again where nothing may change. */
export function renew<T extends tf.Tensor>(old: T, step: Mask, compute: (old: T) => T): T {
  return replace(
    old,
    tf.tidy(() => allowed(step, compute(old), old)),
  );
}

/** Keeps `next` beyond the surrounding tidy and frees `old`. */
export function replace<T extends tf.Tensor>(old: T, next: T): T {
  tf.keep(next);
  old.dispose();
  return next;
}
