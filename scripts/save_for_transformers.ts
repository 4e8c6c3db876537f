/**
 * The first half of a check that transformers loads what `saveLlama` writes: loads a checkpoint, saves it, loads that, and writes
 * its logits of some token ids beside it. check_with_transformers.py is the other half.
 *
 *     npx tsx scripts/save_for_transformers.ts SOURCE TARGET [F32|F16|BF16]
 *     npx tsx scripts/save_for_transformers.ts TARGET
 *
 * SOURCE is a folder or a URL, TARGET a folder; without SOURCE, TARGET is a folder that was saved before, for example by
 * `tfjs-owlore finetune`. The logits are written to TARGET.logits.safetensors.
 */
import {writeFileSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import {serializeSafetensors} from '../src/files/safetensors';
import {loadLlama, saveLlama, type FloatType} from '../src/llama';
import {createRandom} from '../src/common/random';
import {loadBackend} from '../tools/load_backend';

const SHAPE: [batch: number, length: number] = [2, 24];

const [source, target = source, dtype = 'F32'] = process.argv.slice(2);
if (source === undefined || target === undefined) {
  console.error('usage: npx tsx scripts/save_for_transformers.ts [SOURCE] TARGET [F32|F16|BF16]');
  process.exit(1);
}

await loadBackend('cpu');
await tf.setBackend('cpu');
if (source !== target) {
  const {model} = await loadLlama(source);
  // saveLlama checks the type
  const files = await saveLlama(model, target, {dtype: dtype as FloatType});
  model.dispose();
  console.log(`saved ${files.join(', ')} in ${target}`);
}

const {model: saved, config} = await loadLlama(target);
const random = createRandom(1);
const ids = Float32Array.from({length: SHAPE[0] * SHAPE[1]}, () =>
  Math.floor(random.next() * config.vocabSize),
);
const logits = saved.predict(tf.tensor(ids, SHAPE, 'int32')) as tf.Tensor;
const tensors = new Map([
  ['ids', {shape: SHAPE, values: ids}],
  ['logits', {shape: logits.shape, values: (await logits.data()) as Float32Array}],
]);
writeFileSync(`${target}.logits.safetensors`, serializeSafetensors(tensors));
console.log(`wrote logits ${JSON.stringify(logits.shape)} to ${target}.logits.safetensors`);
