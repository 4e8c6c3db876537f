/**
 * A training of a small LLaMA that saves a checkpoint after each batch and keeps all: `resumed_program BACKEND FOLDER BATCHES`. It goes
 * on from the newest checkpoint in the folder, and says as JSON what it was.
 */
import * as tf from '@tensorflow/tfjs-core';
import {resumeCheckpoint, saveCheckpoint} from '../../src/index';
import {loadBackend, type BackendName} from '../../tools/load_backend';
import {SmallTraining} from './small_training';

/** What the process says of its batches. */
export interface Progress {
  /** The bits of the losses. */
  losses: number[];
  snapshot: unknown;
}

const [name, folder, batches] = process.argv.slice(2) as [BackendName, string, string];
await loadBackend(name);
await tf.setBackend(name);
const training = new SmallTraining({task: 'llama', sampling: {gamma: 1, interval: 2}});
const resumed = await resumeCheckpoint(folder, training.parts);
const losses: number[] = [];
for (let batch = resumed?.step ?? 0; batch < Number(batches); batch++) {
  losses.push(...(await training.train(1)));
  await saveCheckpoint(folder, training.parts);
}
const progress: Progress = {losses, snapshot: await training.snapshot()};
process.stdout.write(`${JSON.stringify(progress)}\n`);
