/**
 * The first half of a check that peft loads what `Lora.save` writes: adapts a checkpoint, gives A and B values, saves the adapters,
 * and writes the logits of some token ids beside them. check_with_peft.py is the other half.
 *
 *     npx tsx scripts/save_for_peft.ts MODEL TARGET [TARGETS]
 *     npx tsx scripts/save_for_peft.ts MODEL ADAPTER --saved
 *
 * MODEL is a folder or a URL, TARGET a folder, TARGETS names such as q_proj,v_proj (default all-linear). With --saved, ADAPTER is a
 * folder that was saved before, for example by `tfjs-owlore finetune --method lora`. The logits are written to
 * TARGET.logits.safetensors.
 */
import {writeFileSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import {serializeSafetensors} from '../src/files/safetensors';
import {loadLlama} from '../src/llama';
import {applyLora, loadLora} from '../src/lora';
import {createRandom} from '../src/common/random';
import {loadBackend} from '../tools/load_backend';

const SHAPE: [batch: number, length: number] = [2, 24];

const [source, target, targets = 'all-linear'] = process.argv.slice(2);
if (source === undefined || target === undefined) {
  console.error('usage: npx tsx scripts/save_for_peft.ts MODEL TARGET [TARGETS|--saved]');
  process.exit(1);
}

await loadBackend('cpu');
await tf.setBackend('cpu');
const {model, config} = await loadLlama(source);
if (targets === '--saved') {
  const lora = await loadLora(model, target);
  console.log(`loaded ${lora.modules.length} adapters of ${target}`);
} else {
  const lora = applyLora(model, {rank: 4, alpha: 6, dropout: 0.1, targets: targets.split(',')});
  let seed = 1;
  for (const {b} of lora.weights.values()) {
    tf.tidy(() => b.assign(tf.randomNormal(b.shape, 0, 0.05, 'float32', seed++)));
  }
  await lora.save(target, {baseModel: source});
  console.log(`saved ${lora.modules.length} adapters in ${target}`);
}
const random = createRandom(1);
const ids = Float32Array.from({length: SHAPE[0] * SHAPE[1]}, () =>
  Math.floor(random.next() * config.vocabSize),
);
const logits = model.predict(tf.tensor(ids, SHAPE, 'int32')) as tf.Tensor;
const tensors = new Map([
  ['ids', {shape: SHAPE, values: ids}],
  ['logits', {shape: logits.shape, values: (await logits.data()) as Float32Array}],
]);
writeFileSync(`${target}.logits.safetensors`, serializeSafetensors(tensors));
console.log(`wrote logits ${JSON.stringify(logits.shape)} to ${target}.logits.safetensors`);
