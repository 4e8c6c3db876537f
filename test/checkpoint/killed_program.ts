/**
 * A training that saves itself after each batch, for tests that kill it: `killed_program FOLDER BATCHES [VARIANT [BACKEND]]`. It goes on
 * from the newest checkpoint in the folder. With the first variant it also saves a model of many files each time. Each line that it prints is a fact that must still hold after it was killed.
 */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {resumeCheckpoint, saveCheckpoint} from '../../src/index';
import {createLlama, loadLlama, saveLlama} from '../../src/llama';
import {loadBackend, type BackendName} from '../../tools/load_backend';
import {defaultVariant, makeVariant, type VariantName} from './variants';

const [folder, count, variant = defaultVariant, backend = 'cpu'] = process.argv.slice(2) as [
  ...[string, string, VariantName?, BackendName?],
];
const batches = Number(count);
const checkpoints = join(folder, 'checkpoints');
const shards = join(folder, 'shards');
console.info = () => undefined;

await loadBackend(backend);
await tf.setBackend(backend);
const {training, lora} = await makeVariant(variant);
const resumed = await resumeCheckpoint(checkpoints, training.parts);
let {done, masks} = (resumed?.extra ?? {done: 0, masks: 0}) as {done: number; masks: number};
if (lora) lora.dropoutMasks = masks;
say({resumed: done, shards: await readShards()});
while (done < batches) {
  const [loss] = await training.train(1);
  done++;
  // before it is saved: after that, the batch is never computed again
  say({batch: done, loss});
  if (lora) masks = lora.dropoutMasks;
  await saveCheckpoint(checkpoints, training.parts, {keep: 2, extra: {done, masks}});
  say({saved: done});
  if (variant !== defaultVariant) continue;
  await writeShards(done);
  say({shards: done});
}
say({done, snapshot: await training.snapshot()});

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Saves a model of many files, all of whose weights are one number. */
async function writeShards(number: number): Promise<void> {
  const model = smallLlama();
  for (const weight of model.weights) {
    const value = tf.fill(weight.shape as number[], number);
    weight.write(value);
    value.dispose();
  }
  await saveLlama(model, shards, {maxShardBytes: 500});
  model.dispose();
}

/** The number in the model that was saved; null if there is none. */
async function readShards(): Promise<number | null> {
  if (!existsSync(shards)) return null;
  const {model} = await loadLlama(shards).catch((error: unknown) => {
    if (/there is no config.json/.test(String(error))) return {model: null};
    throw error;
  });
  if (!model) return null;
  const values = new Set<number>();
  for (const weight of model.weights) for (const x of weight.read().dataSync()) values.add(x);
  model.dispose();
  if (values.size !== 1) throw new Error(`a mixture of the models ${[...values].join(', ')}`);
  return [...values][0]!;
}

function smallLlama(): ReturnType<typeof createLlama> {
  return createLlama({
    ...{vocabSize: 8, hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 2, seed: 1},
    numAttentionHeads: 2,
  });
}
