import * as tf from '@tensorflow/tfjs-core';
import {deviceLoss} from '../../../kernels/device_loss';

/** Where the last checkpoint of an optimizer is, for the error of a lost device. */
const checkpoints = new WeakMap<tf.Optimizer, string>();

/** Takes the place of a checkpoint that has just been saved, or from which the training goes on. */
export function rememberCheckpoint(optimizer: tf.Optimizer, place: string): void {
  checkpoints.set(optimizer, place);
}

/**
 * The error of a step whose device is lost (`GPUDevice.lost`, or webgl's context); null if it is not. Weights and states are lost
 * with it.
 */
export function lostDevice(optimizer: tf.Optimizer): Error | null {
  const why = deviceLoss();
  if (why === null) return null;
  const name = tf.getBackend();
  const place = checkpoints.get(optimizer);
  const from = place
    ? `resumeCheckpoint goes on from ${place}`
    : 'there is no checkpoint of this training; a CheckpointCallback saves some';
  return new Error(
    `OwLoreOptimizer: the device of the backend '${name}' is lost (${why}), with all weights and states. To go on: ` +
      `const factory = tf.findBackendFactory('${name}'); tf.removeBackend('${name}'); tf.registerBackend('${name}', factory); ` +
      `await tf.setBackend('${name}'); then make model, optimizer and callback again: ${from}`,
  );
}
